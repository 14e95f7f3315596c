import Checkpoint
import Compute
import Container
import GGUFSupport
import Quantizer
import TestSupport
import Testing

/// Which values of a GGUF file survive exactly: those of Q8_0 as int8, of Q4_0, IQ4_NL and MXFP4 as int4.
@Suite("Blocks of GGUF files that are taken over") struct GGUFImportTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func source(_ name: String, _ type: BlockWriting) throws -> Checkpoint {
        let path = "\(directory.path)/model.gguf"
        try GGUFFixture(name, type).image.write(to: path)
        return try Checkpoint(path: path)
    }

    private func convert(
        _ checkpoint: Checkpoint, _ type: ConversionType, name: String = "model", isPure: Bool = true
    ) throws -> ContainerReader {
        let path = "\(directory.path)/\(name).moe"
        let conversion = Conversion(
            checkpoint, plan: FormatPlan(checkpoint.configuration, type: type, isPure: isPure), packing: .never,
            threadCount: 2, progress: ConversionProgress(totalByteCount: 1, hashByteCount: 1))
        _ = try conversion.run(into: try ContainerWriter(path: path, replacing: true), tool: "test")
        return try ContainerReader(path: path)
    }

    private func values(_ shape: MatrixShape, _ base: UnsafeRawPointer, _ table: CodeTable, stride: Int) -> [UInt32] {
        let matrix = Matrix(base: base, shape: shape, table: table, strideByteCount: stride)
        return (0..<shape.rows).flatMap { row in
            var values = [Float](repeating: .nan, count: shape.columns)
            Kernels.best.dequantizeRow(matrix, row: row, into: &values)
            return values.map(\.bitPattern)
        }
    }

    private func values(_ matrix: SourceMatrix) throws -> [UInt32] {
        try matrix.values(rows: 0..<matrix.rows).map(\.bitPattern)
    }

    static let cases: [(String, BlockWriting, ConversionType, CodeTable)] = [
        ("mixtral", .q8_0, .int8, .linear), ("mixtral", .q4_0, .int4, .linear),
        ("mixtral", .iq4_nl, .int4, .nonLinear), ("qwen3-moe", .q8_0, .int8, .linear),
        ("mixtral", .mxfp4, .int4, .e2m1),
    ]

    @Test(arguments: cases) func everyValueIsTheSameBitForBit(
        name: String, type: BlockWriting, target: ConversionType, table: CodeTable
    ) throws {
        let checkpoint = try source(name, type)
        let reader = try convert(checkpoint, target)
        let scaleFormat = type == .mxfp4 ? ScaleFormat.bf16 : .f16
        for expert in checkpoint.experts {
            let record = try #require(reader.experts[expert.key])
            let layout = record.layout
            let memory = try AlignedMemory(byteCount: record.byteCount)
            try reader.readExpert(record, into: memory.base, scratch: .init(start: nil, count: 0), verify: true)
            #expect(layout.gateUpScaleFormat == scaleFormat && layout.downScaleFormat == scaleFormat)
            #expect(layout.gateUpTable == table && layout.downTable == table)
            let stride = layout.gateUpStride
            let gate = values(layout.gateShape, memory.base, table, stride: stride)
            let up = values(layout.gateShape, memory.base + layout.upOffset, table, stride: stride)
            let down = values(
                layout.downShape, memory.base + layout.downOffset, table, stride: layout.downShape.strideByteCount)
            #expect(try gate == values(expert.gate) && up == values(expert.up) && down == values(expert.down))
        }
        // Rows in another order and the embedding's layout too.
        for tensor in checkpoint.tensors where !tensor.requirement.mustBeF32 {
            let record = try #require(reader.tensors[tensor.requirement.key])
            #expect(record.shape.format == (target == .int8 ? .q8 : .q4))
            #expect(record.shape.scaleFormat == scaleFormat)
            let memory = try AlignedMemory(byteCount: record.shape.byteCount)
            try reader.readTensor(record, into: memory.base)
            let stored = values(record.shape, memory.base, record.table, stride: record.shape.strideByteCount)
            #expect(try stored == values(tensor.matrix), "\(tensor.requirement.key)")
        }
    }

    /// The same arrays, whatever the weights came in, and the same configuration.
    @Test(arguments: [
        ("gpt-oss-mxfp4", ConversionType.int4), ("gpt-oss-mxfp4", .int8), ("gpt-oss", .int4), ("glm4-moe-lite", .bf16),
    ])
    func theContainerIsTheOneOfTheCheckpoint(name: String, type: ConversionType) throws {
        let reader = try convert(try source(name, .f32), type, isPure: false)
        let original = try convert(
            Checkpoint(directory: Fixtures.checkpoint(name)), type, name: "original", isPure: false)
        #expect(reader.metadata.configuration == original.metadata.configuration)
        #expect(reader.tensors == original.tensors && reader.experts == original.experts)
    }

    /// 2^127 and more times 6 is no binary32, and 255 means NaN.
    @Test(arguments: [253, 254, 255] as [UInt8], [ConversionType.int4, .bf16])
    func exponentsThatAreTooLargeAreRefused(exponent: UInt8, type: ConversionType) throws {
        let path = "\(directory.path)/model.gguf"
        var image = try GGUFFixture("gpt-oss-mxfp4", .f32).image
        let name = "blk.1.ffn_down_exps.weight"
        // Row 2, the second group.
        image[tensor: name]?.bytes[17 * (2 * 2 + 1)] = exponent
        try image.write(to: path)
        let checkpoint = try Checkpoint(path: path)
        let error = #expect(throws: CheckpointError.self) { try convert(checkpoint, type) }
        #expect(error?.code == .notFinite && error?.tensor == name)
        #expect(error?.found?.contains("row 2, \(type == .int4 ? "group 1" : "column 32")") == true)
    }

    /// Keys' and values' parts of latent attention become one matrix, which has to be quantised.
    @Test func whatIsPutTogetherIsQuantised() throws {
        let checkpoint = try source("deepseek-v2-lite", .q8_0)
        for tensor in checkpoint.tensors where !tensor.requirement.mustBeF32 {
            let isJoined = tensor.requirement.key.role == .keyValueUp
            #expect(tensor.matrix.importFormat == (isJoined ? nil : ImportFormat(format: .q8, scaleFormat: .f16)))
        }
    }

    @Test(arguments: [(BlockWriting.q8_0, ConversionType.int4), (.q4_0, .int8), (.f16, .int8), (.q8_0, .nested)])
    func anythingElseIsQuantisedFromTheValues(type: BlockWriting, target: ConversionType) throws {
        let checkpoint = try source("mixtral", type)
        let reader = try convert(checkpoint, target)
        #expect(reader.experts.count == checkpoint.experts.count)
        #expect(reader.refinements.count == (target == .nested ? checkpoint.experts.count : 0))
    }

    @Test func aCodeThatTheContainerDoesNotHaveIsRefused() throws {
        let path = "\(directory.path)/model.gguf"
        var image = try GGUFFixture("mixtral", .q8_0).image
        let name = "blk.0.ffn_up_exps.weight"
        image[tensor: name]?.bytes[34 * 2 + 7] = 0x80
        try image.write(to: path)
        let checkpoint = try Checkpoint(path: path)
        let error = #expect(throws: CheckpointError.self) { try convert(checkpoint, .int8) }
        #expect(error?.tensor == name && error?.found == "-128 in row 1, column 5")
        _ = try convert(checkpoint, .bf16)
    }

    /// From the file to a container and back again by the programs, with its parts.
    @Test func theProgramsTakeGGUFFiles() throws {
        for (number, part) in try GGUFFixture("mixtral", .q8_0).image.split(into: 2).enumerated() {
            try part.write(to: "\(directory.path)/m-0000\(number + 1)-of-00002.gguf")
        }
        let first = "\(directory.path)/m-00001-of-00002.gguf"
        let output = "\(directory.path)/m.moe"
        let converted = try Program.run(["convert", first, "-o", output, "--type", "int8", "--pure"])
        #expect(converted.code == 0, "\(converted.error)")
        let verified = try Program.run(["verify", output, "--against", first])
        #expect(verified.code == 0, "\(verified.error)")
        let reader = try ContainerReader(path: output)
        #expect(reader.metadata.sources.map(\.name) == ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"])
        let forecast = try Program.run(["convert", first, "-o", output, "--type", "int4", "--dry-run"])
        #expect(forecast.code == 0, "\(forecast.error)")
        let refused = try Program.run(["convert", "\(directory.path)/m-00002-of-00002.gguf", "-o", "\(output)2"])
        #expect(refused.code != 0 && refused.error.contains("part"), "\(refused.error)")
    }
}

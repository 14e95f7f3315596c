import Checkpoint
import Compute
import Container
import FoundationEssentials
import Quantizer
import TestSupport
import Testing

@Suite("Checkpoints that are quantised already")
struct PackedImportTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func convert(_ source: String, _ type: ConversionType, name: String = "out.moe") throws -> ContainerReader {
        let path = "\(directory.path)/\(name)"
        let checkpoint = try Checkpoint(directory: source)
        let conversion = Conversion(
            checkpoint, plan: FormatPlan(checkpoint.configuration, type: type, isPure: true), packing: .never,
            threadCount: 2, progress: ConversionProgress(totalByteCount: 1, hashByteCount: 1))
        _ = try conversion.run(into: try ContainerWriter(path: path, replacing: true), tool: "test")
        return try ContainerReader(path: path)
    }

    /// The three matrices of an expert as floats, by every kernel and by the reference, which must agree.
    private func values(_ record: ExpertRecord, of reader: ContainerReader) throws -> [[Float]] {
        let memory = try AlignedMemory(byteCount: record.byteCount)
        try reader.readExpert(record, into: memory.base, scratch: .init(start: nil, count: 0), verify: true)
        let layout = record.layout
        return [
            (layout.gateShape, 0, layout.gateUpStride, layout.gateUpTable),
            (layout.gateShape, layout.upOffset, layout.gateUpStride, layout.gateUpTable),
            (layout.downShape, layout.downOffset, layout.downShape.strideByteCount, layout.downTable),
        ].map { shape, offset, stride, table in
            let matrix = Matrix(
                base: UnsafeRawPointer(memory.base + offset), shape: shape, table: table, strideByteCount: stride)
            let all = Kernels.available.map { kernels in
                (0..<shape.rows).flatMap { row in
                    var values = [Float](repeating: .nan, count: shape.columns)
                    kernels.dequantizeRow(matrix, row: row, into: &values)
                    return values
                }
            }
            #expect(Set(all.map { $0.map(\.bitPattern) }).count == 1)
            return all[0]
        }
    }

    private func source(_ expert: SourceExpert) throws -> [[Float]] {
        try [expert.gate, expert.up, expert.down].map { try $0.values(rows: 0..<$0.rows) }
    }

    private func areIdentical(_ left: [[Float]], _ right: [[Float]]) -> Bool {
        left.map { $0.map(\.bitPattern) } == right.map { $0.map(\.bitPattern) }
    }

    @Test func everyValueIsTheSameBitForBit() throws {
        let path = Fixtures.checkpoint("kimi-k2-int4")
        let reader = try convert(path, .int4)
        let float = try convert(path, .f32, name: "f32.moe")
        let checkpoint = try Checkpoint(directory: path)
        #expect(checkpoint.experts.count == 32)
        for expert in checkpoint.experts {
            let record = try #require(reader.experts[expert.key])
            #expect(record.layout.gateUpFormat == .q4 && record.layout.downFormat == .q4)
            #expect(record.layout.gateUpTable == .linear && record.layout.downTable == .linear)
            #expect(record.layout.gateUpScaleFormat == .bf16 && record.layout.downScaleFormat == .bf16)
            let imported = try values(record, of: reader)
            #expect(areIdentical(imported, try source(expert)), "\(expert.key)")
            #expect(areIdentical(imported, try values(try #require(float.experts[expert.key]), of: float)))
        }
    }

    /// Codes of FP4 and scales that are powers of two become indices into a table of their own and bf16 scales: no value
    /// changes.
    @Test(arguments: [ConversionType.int4, .nested])
    func microscaledValuesAreTheSame(type: ConversionType) throws {
        let path = Fixtures.checkpoint("gpt-oss-mxfp4")
        let reader = try convert(path, type)
        let float = try convert(path, .f32, name: "f32.moe")
        let checkpoint = try Checkpoint(directory: path)
        #expect(checkpoint.experts.count == 32 && reader.refinements.isEmpty)
        for expert in checkpoint.experts {
            let layout = try #require(reader.experts[expert.key]).layout
            #expect(layout.gateUpFormat == .q4 && layout.gateUpTable == .e2m1 && layout.gateUpScaleFormat == .bf16)
            #expect(layout.downFormat == .q4 && layout.downTable == .e2m1 && layout.downScaleFormat == .bf16)
            let imported = try values(try #require(reader.experts[expert.key]), of: reader)
            let original = try source(expert)
            // As numbers: FP4 tells 0 from −0.
            #expect(imported == original, "\(expert.key)")
            #expect(try values(try #require(float.experts[expert.key]), of: float) == original)
        }
    }

    /// In 8 bits they are quantised anew.
    @Test func microscaledValuesNearlySurviveInEightBits() throws {
        let path = Fixtures.checkpoint("gpt-oss-mxfp4")
        let reader = try convert(path, .int8)
        for expert in try Checkpoint(directory: path).experts {
            let record = try #require(reader.experts[expert.key])
            #expect(record.layout.gateUpFormat == .q8)
            for (stored, original) in zip(try values(record, of: reader), try source(expert)) {
                let error = zip(stored, original).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
                #expect(error < 1e-4 * original.reduce(0) { $0 + $1 * $1 })
            }
        }
    }

    /// A copy of the fixture whose scales have another type.
    private func copy(scales element: ElementType, _ convert: ([Float]) -> [UInt8]) throws -> TemporaryDirectory {
        let copy = try TemporaryDirectory()
        let fixture = Fixtures.checkpoint("kimi-k2-int4")
        try FileManager.default.copyItem(atPath: "\(fixture)/config.json", toPath: "\(copy.path)/config.json")
        let file = try SafetensorsFile(path: "\(fixture)/model.safetensors")
        var writer = SafetensorsWriter()
        for tensor in file.header.tensors {
            if tensor.name.hasSuffix("_scale") {
                writer.add(tensor.name, element, shape: tensor.shape, bytes: convert(try file.floats(of: tensor)))
            } else {
                let bytes = try file.file.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
                writer.add(tensor.name, tensor.element, shape: tensor.shape, bytes: bytes)
            }
        }
        try writer.write(to: "\(copy.path)/model.safetensors")
        return copy
    }

    @Test func halfPrecisionScalesStayThat() throws {
        let copy = try copy(scales: .f16) { $0.flatMap { bytes(NumberFormat.f16($0)) } }
        let reader = try convert(copy.path, .int4)
        for expert in try Checkpoint(directory: copy.path).experts {
            let record = try #require(reader.experts[expert.key])
            #expect(record.layout.gateUpScaleFormat == .f16 && record.layout.downScaleFormat == .f16)
            #expect(areIdentical(try values(record, of: reader), try source(expert)))
        }
    }

    /// Neither 16-bit format holds them, so they are quantised anew; the codes' own grid makes that nearly exact.
    @Test func singlePrecisionScalesAreQuantisedAnew() throws {
        let copy = try copy(scales: .f32) { $0.flatMap { bytes(($0 * 1.0003).bitPattern) } }
        let reader = try convert(copy.path, .int4)
        let expert = try #require(try Checkpoint(directory: copy.path).experts.first)
        let record = try #require(reader.experts[expert.key])
        #expect(record.layout.gateUpScaleFormat == .f16)
        for (stored, original) in zip(try values(record, of: reader), try source(expert)) {
            let error = zip(stored, original).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            #expect(error < 1e-2 * original.reduce(0) { $0 + $1 * $1 })
        }
    }

    private func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    @Test func anythingElseIsQuantisedFromTheValues() throws {
        let path = Fixtures.checkpoint("kimi-k2-int4")
        let reader = try convert(path, .int8)
        for expert in try Checkpoint(directory: path).experts {
            let record = try #require(reader.experts[expert.key])
            #expect(record.layout.gateUpFormat == .q8 && record.layout.gateUpScaleFormat == .f16)
            for (stored, original) in zip(try values(record, of: reader), try source(expert)) {
                let error = zip(stored, original).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
                #expect(error < 1e-4 * original.reduce(0) { $0 + $1 * $1 })
            }
        }
    }

    /// FP8 goes straight into the format: what is stored is what encoding the exact values gives, and nothing else is
    /// written on the way.
    @Test(arguments: [ConversionType.int4, .int8])
    func fp8IsQuantisedWithoutACopy(type: ConversionType) throws {
        let path = Fixtures.checkpoint("deepseek-v3-fp8")
        let scratch = try TemporaryDirectory()
        let target = "\(directory.path)/fp8.moe"
        let outcome = try Program.run(
            ["convert", path, "-o", target, "--type", type.rawValue, "--pure", "--pack", "never"],
            environment: ["TMPDIR": scratch.path])
        #expect(outcome.code == 0, "\(outcome.error)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["fp8.moe"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)

        let reader = try ContainerReader(path: target)
        let exact = try convert(path, .f32, name: "f32.moe")
        let checkpoint = try Checkpoint(directory: path)
        for expert in checkpoint.experts {
            let original = try source(expert)
            #expect(areIdentical(try values(try #require(exact.experts[expert.key]), of: exact), original))
            let limit: Float = type == .int4 ? 1e-2 : 1e-4
            for (stored, original) in zip(try values(try #require(reader.experts[expert.key]), of: reader), original) {
                let error = zip(stored, original).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
                #expect(error < limit * original.reduce(0) { $0 + $1 * $1 })
            }
        }
    }
}

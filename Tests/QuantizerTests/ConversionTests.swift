import Checkpoint
import Compute
import Container
import Quantizer
import TestSupport
import Testing

@Suite("Conversion")
struct ConversionTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func convert(
        _ source: String, _ type: ConversionType, pure: Bool = false, packing: Packing = .auto, threads: Int = 2,
        encoding: EncodingOptions = EncodingOptions(), name: String = "out.moe"
    ) throws -> (reader: ContainerReader, report: ConversionReport) {
        let path = "\(directory.path)/\(name)"
        let checkpoint = try Checkpoint(directory: source)
        let conversion = Conversion(
            checkpoint, plan: FormatPlan(checkpoint.configuration, type: type, isPure: pure), packing: packing,
            encoding: encoding, threadCount: threads, progress: ConversionProgress(totalByteCount: 1, hashByteCount: 1))
        let report = try conversion.run(into: try ContainerWriter(path: path, replacing: true), tool: "test")
        return (try ContainerReader(path: path), report)
    }

    /// One matrix of the container as floats.
    private func floats(
        _ base: UnsafeRawPointer, _ shape: MatrixShape, _ table: CodeTable, stride: Int? = nil
    ) -> [Float] {
        let matrix = Matrix(base: base, shape: shape, table: table, strideByteCount: stride)
        var values = [Float](repeating: .nan, count: shape.rows * shape.columns)
        values.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            for row in 0..<shape.rows {
                Kernels.best.dequantizeRow(matrix, row: row, into: start + row * shape.columns)
            }
        }
        return values
    }

    /// Calls `body` with every matrix of the checkpoint, as it was and as the container has it.
    private func compare(
        _ source: String, _ reader: ContainerReader, _ body: (String, BlockFormat, [Float], [Float]) throws -> Void
    ) throws {
        let checkpoint = try Checkpoint(directory: source)
        for tensor in checkpoint.tensors {
            let key = tensor.requirement.key
            let record = try #require(reader.tensors[key] ?? reader.prediction.tensors[key])
            let memory = try AlignedMemory(byteCount: record.byteCount)
            try reader.readTensor(record, into: memory.base)
            let original = try tensor.matrix.values(rows: 0..<tensor.matrix.rows)
            try body(tensor.matrix.name, record.shape.format, original, floats(memory.base, record.shape, record.table))
        }
        for expert in checkpoint.experts {
            let record = try #require(reader.planes(of: expert.key)).expert
            let layout = record.layout
            let memory = try AlignedMemory(byteCount: record.byteCount)
            let scratch = try AlignedMemory(byteCount: record.storedByteCount)
            try reader.readExpert(
                record, into: memory.base,
                scratch: UnsafeMutableRawBufferPointer(start: scratch.base, count: scratch.byteCount), verify: true)
            for (matrix, shape, table, offset, stride) in [
                (expert.gate, layout.gateShape, layout.gateUpTable, 0, layout.gateUpStride),
                (expert.up, layout.gateShape, layout.gateUpTable, layout.upOffset, layout.gateUpStride),
                (expert.down, layout.downShape, layout.downTable, layout.downOffset, layout.downShape.strideByteCount),
            ] {
                let stored = floats(memory.base + offset, shape, table, stride: stride)
                try body(matrix.name, shape.format, try matrix.values(rows: 0..<matrix.rows), stored)
            }
        }
    }

    @Test(arguments: ["deepseek-v3", "deepseek-v3-fp8", "moonlight"], Packing.allCases)
    func f32HoldsEveryWeightExactly(fixture: String, packing: Packing) throws {
        let source = Fixtures.checkpoint(fixture)
        let (reader, report) = try convert(source, .f32, packing: packing)
        try compare(source, reader) { name, _, original, stored in #expect(original == stored, "\(name)") }
        #expect(report.worst.isEmpty)
        #expect((report.packedExpertCount == 0) == (packing == .never))
    }

    @Test func bf16HoldsBf16Exactly() throws {
        let source = Fixtures.checkpoint("moonlight")
        let (reader, report) = try convert(source, .bf16)
        try compare(source, reader) { name, _, original, stored in #expect(original == stored, "\(name)") }
        #expect(report.unquantized.isEmpty)
    }

    @Test(arguments: [(ConversionType.int4, true, 0.09), (.int4, false, 0.09), (.int8, false, 0.006)])
    func quantizedWeightsAreCloseAndTheReportIsTrue(type: ConversionType, pure: Bool, limit: Double) throws {
        let (reader, report) = try convert(Fixtures.demo, type, pure: pure)
        var worst = ("", 0.0)
        try compare(Fixtures.demo, reader) { name, format, original, stored in
            guard format.isQuantized else {
                #expect(original == stored, "\(name)")
                return
            }
            let energy = original.reduce(0.0) { $0 + Double($1) * Double($1) }
            let error = zip(original, stored).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
            let relative = (error / energy).squareRoot()
            #expect(relative < limit, "\(name)")
            if relative > worst.1 { worst = (name, relative) }
        }
        #expect(report.worst.first?.name == worst.0)
        #expect(abs((report.worst.first?.loss.relative ?? 0) - worst.1) < 1e-5)
        let tensorCount = reader.tensors.count + reader.prediction.tensors.count
        #expect(report.matrixCount == report.expertCount * 3 + tensorCount)
        let plan = FormatPlan(reader.metadata.configuration, type: type, isPure: pure)
        #expect(reader.metadata.recipe == plan.recipe(tool: "test", packing: .auto))
        #expect(reader.metadata.recipe.type == type.rawValue && reader.metadata.recipe.method == "search")
        #expect(reader.metadata.sources.count == 6 && reader.text.tokenizerJSON != nil)
    }

    @Test(arguments: [ConversionType.int4, .int8, .f32])
    func anyNumberOfThreadsGivesTheSameBytes(type: ConversionType) throws {
        var hashes: Set<UInt64> = []
        for threads in [1, 2, 4, 7] {
            let (reader, _) = try convert(Fixtures.demo, type, threads: threads, name: "\(threads).moe")
            let file = try InputFile(path: reader.path)
            hashes.insert(XXH3.hash(try file.bytes(0..<file.byteCount)))
        }
        #expect(hashes.count == 1)
    }

    /// Trained weights are near to normal ones, which the non-linear table suits.
    @Test func searchChoosesTablesThatLoseLessThanRounding() throws {
        let (searched, report) = try convert(Fixtures.demo, .int4, pure: true)
        let (rounded, plain) = try convert(
            Fixtures.demo, .int4, pure: true, encoding: EncodingOptions(method: .rtn), name: "rtn.moe")
        #expect(searched.experts.values.allSatisfy { $0.layout.gateUpTable == .nonLinear })
        #expect(
            rounded.experts.values.allSatisfy { $0.layout.gateUpTable == .linear && $0.layout.downTable == .linear })
        #expect(rounded.tensors.values.allSatisfy { $0.table == .linear })
        #expect(rounded.metadata.recipe.method == "rtn" && searched.dataByteCount == rounded.dataByteCount)
        let (best, worst) = try (#require(report.worst.first), #require(plain.worst.first))
        #expect(best.loss.relative < worst.loss.relative * 0.8)
    }

    /// Ternary weights are whole multiples of one scale: the linear table holds them exactly.
    @Test func weightsOfFewLevelsKeepTheLinearTableAndAreExact() throws {
        let source = try TemporaryDirectory()
        try SyntheticCheckpoint(isTernary: true).write(to: source.path)
        let (reader, report) = try convert(source.path, .int4, pure: true)
        #expect(reader.experts.values.allSatisfy { $0.layout.gateUpTable == .linear && $0.layout.downTable == .linear })
        #expect(report.worst.isEmpty)
        try compare(source.path, reader) { name, _, original, stored in #expect(original == stored, "\(name)") }
    }

    @Test func importanceMovesTheErrorToColumnsThatCountLess() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.demo)
        let key = TensorKey(.outputHead)
        let tensor = try #require(checkpoint.tensors.first { $0.requirement.key == key })
        let columns = tensor.matrix.columns
        let moments = ImportanceMatrix.Moments(
            columnCount: columns, sums: (0..<columns).map { $0.isMultiple(of: 8) ? 100 : 1 }, counts: [1000])
        let matrix = ImportanceMatrix(moments: [.tensor(key): moments], origin: .init(textChecksums: ["0123"]))
        let (even, _) = try convert(Fixtures.demo, .int4, pure: true)
        let (uneven, _) = try convert(
            Fixtures.demo, .int4, pure: true, encoding: EncodingOptions(importance: matrix), name: "weighted.moe")
        #expect(uneven.metadata.recipe.importance == matrix.source && even.metadata.recipe.importance == nil)
        func errors(_ reader: ContainerReader) throws -> (heavy: Float, light: Float) {
            var heavy: Float = 0
            var light: Float = 0
            try compare(Fixtures.demo, reader) { name, _, original, stored in
                guard name == tensor.matrix.name else { return }
                for (index, (old, new)) in zip(original, stored).enumerated() {
                    let square = (old - new) * (old - new)
                    if (index % columns).isMultiple(of: 8) { heavy += square } else { light += square }
                }
            }
            return (heavy, light)
        }
        let (before, after) = (try errors(even), try errors(uneven))
        #expect(after.heavy < before.heavy * 0.8 && after.light > before.light)
    }

    @Test func rowsThat32DoesNotDivideStayBf16AndAreReported() throws {
        let source = try TemporaryDirectory()
        try SyntheticCheckpoint(expertWidth: 40, keyValueRank: 24).write(to: source.path)
        let (reader, report) = try convert(source.path, .int4)
        // kv_b of two layers, the shared and the routed experts' down.
        #expect(report.unquantized.count == 2 + 1 + 8)
        #expect(reader.tensors[TensorKey(.keyValueUp, layer: 0)]?.shape.format == .bf16)
        try compare(source.path, reader) { name, format, original, stored in
            #expect(format.isQuantized || original == stored, "\(name)")
        }
    }

    @Test func aFailureRemovesThePartialFile() throws {
        let source = try TemporaryDirectory()
        try SyntheticCheckpoint().write(to: source.path)
        // The last bytes are an expert's; NaN there is found late.
        let file = try InputFile(path: "\(source.path)/model.safetensors")
        var bytes = try file.bytes(0..<file.byteCount)
        bytes.replaceSubrange(bytes.count - 2..<bytes.count, with: [0xC0, 0x7F])
        try bytes.write(to: file.path)
        let error = #expect(throws: CheckpointError.self) { try convert(source.path, .int4) }
        #expect(error?.code == .notFinite && error?.tensor == "model.layers.1.mlp.experts.7.down_proj.weight")
        #expect(!exists("\(directory.path)/out.moe") && !exists("\(directory.path)/out.moe.partial"))
    }

    @Test func cancellingRemovesThePartialFile() throws {
        let cancellation = Cancellation()
        let checkpoint = try Checkpoint(directory: Fixtures.demo)
        let plan = FormatPlan(checkpoint.configuration, type: .int8, isPure: false)
        let conversion = Conversion(
            checkpoint, plan: plan, packing: .auto, threadCount: 2,
            progress: ConversionProgress(totalByteCount: 1, hashByteCount: 1), cancellation: cancellation)
        cancellation.request()
        var writer: ContainerWriter? = try ContainerWriter(path: "\(directory.path)/out.moe", replacing: false)
        let error = #expect(throws: QuantizerError.self) {
            try conversion.run(into: try #require(writer), tool: "test")
        }
        #expect(error?.code == .cancelled)
        writer = nil
        #expect(!exists("\(directory.path)/out.moe") && !exists("\(directory.path)/out.moe.partial"))
    }
}

import Checkpoint
import Compute
import Container
import FoundationEssentials
import Glibc
import Quantizer
import TestSupport
import Testing

/// `--type int8+int4`, with the real program.
@Suite("moe-quantize convert in two planes")
struct NestedConversionTests {
    private let directory: TemporaryDirectory
    private var model: String { "\(directory.path)/model.moe" }

    init() throws { directory = try TemporaryDirectory() }

    private func convert(_ options: String...) throws -> ContainerReader {
        let arguments = ["convert", Fixtures.demo, "-o", model, "--type", "int8+int4"] + options
        let outcome = try Program.run(arguments)
        try #require(outcome.code == 0, "\(outcome.error)")
        return try ContainerReader(path: model)
    }

    /// One matrix of an expert as floats.
    private func floats(_ base: UnsafeRawPointer, _ shape: MatrixShape, _ table: CodeTable, stride: Int) -> [Float] {
        let matrix = Matrix(base: base, shape: shape, table: table, strideByteCount: stride)
        return (0..<shape.rows).flatMap { row in
            var values = [Float](repeating: .nan, count: shape.columns)
            Kernels.best.dequantizeRow(matrix, row: row, into: &values)
            return values
        }
    }

    /// ‖x − x̂‖ / ‖x‖ of an expert's matrices.
    private func errors(_ source: ExpertSource, _ expert: SourceExpert, _ reader: ContainerReader) throws -> [Double] {
        let memory = try AlignedMemory(byteCount: source.byteCount)
        let scratch = try AlignedMemory(byteCount: max(1, source.scratchByteCount))
        try reader.readExpert(
            source, into: memory.base,
            scratch: UnsafeMutableRawBufferPointer(start: scratch.base, count: source.scratchByteCount), verify: true)
        let layout = source.layout
        return try [
            (expert.gate, layout.gateShape, layout.gateUpTable, 0, layout.gateUpStride),
            (expert.up, layout.gateShape, layout.gateUpTable, layout.upOffset, layout.gateUpStride),
            (expert.down, layout.downShape, layout.downTable, layout.downOffset, layout.downShape.strideByteCount),
        ].map { matrix, shape, table, offset, stride in
            let stored = floats(memory.base + offset, shape, table, stride: stride)
            let original = try matrix.values(rows: 0..<matrix.rows)
            let energy = original.reduce(0.0) { $0 + Double($1) * Double($1) }
            let error = zip(original, stored).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
            return (error / energy).squareRoot()
        }
    }

    @Test func everyExpertHasBothPlanesAndTheRestIsInt8() throws {
        let reader = try convert()
        #expect(reader.refinements.count == reader.experts.count && reader.experts.count == 128)
        #expect(reader.metadata.recipe.type == "int8+int4")
        for record in reader.tensors.values {
            #expect(record.shape.format == .q8 || record.shape.format == .f32)
        }
        let checkpoint = try Checkpoint(directory: Fixtures.demo)
        for expert in checkpoint.experts.prefix(20) {
            let coarse = try #require(reader.source(of: expert.key, planes: .coarse))
            #expect(coarse.layout.gateUpTable == .nonLinear && coarse.layout.downTable == .nonLinear)
            for error in try errors(coarse, expert, reader) { #expect((0.06..<0.09).contains(error)) }
            let both = try #require(reader.source(of: expert.key, planes: .both))
            for error in try errors(both, expert, reader) { #expect(error < 0.0085) }
        }
        // Both are recorded.
        let losses = try #require(reader.metadata.losses)
        for kind in ["experts.gate", "experts.up", "experts.down"] {
            let fine = try #require(losses.first { $0.kind == kind })
            let coarse = try #require(losses.first { $0.kind == kind + ".coarse" && $0.layer == fine.layer })
            #expect(fine.relativeError < 0.0085 && coarse.relativeError > 0.06)
        }
    }

    @Test(arguments: ["auto", "always"]) func everyDamagedPlaneIsListedAndMadeAnew(pack: String) throws {
        let reader = try convert("--pack", pack)
        let checksum = try ProgramTests.checksum(of: model)
        let keys = [3, 17, 20].map { ExpertKey(layer: 3, expert: $0) }
        let first = try #require(reader.experts[keys[0]])
        let second = try #require(reader.refinements[keys[1]])
        let (third, its) = (try #require(reader.experts[keys[2]]), try #require(reader.refinements[keys[2]]))
        let bad: [(String, UInt64)] = [
            ("\(keys[0])", first.offset), ("\(keys[1]).refinement", second.offset), ("\(keys[2])", third.offset),
            ("\(keys[2]).refinement", its.offset),
        ]
        var bytes = try Data(contentsOf: URL(filePath: model))
        for (_, offset) in bad { bytes[Int(offset) + 100] ^= 0x11 }
        try bytes.write(to: URL(filePath: model))
        for options in [[], ["--against", Fixtures.demo]] {
            let outcome = try Program.run(["verify", model] + options)
            #expect(outcome.code == 65)
            for (name, offset) in bad {
                #expect(outcome.output.contains("\(name) (") && outcome.output.contains("at byte \(offset)"))
            }
        }
        let copy = "\(directory.path)/copy.moe"
        let repaired = try Program.run(["repair", model, "--from", Fixtures.demo, "-o", copy])
        #expect(repaired.code == 0, "\(repaired.error)")
        #expect(try ProgramTests.checksum(of: copy) == checksum)
        #expect(try Program.run(["verify", copy, "--against", Fixtures.demo]).code == 0)
    }

    /// Also when the last call to the system came between an expert's two planes.
    @Test(.timeLimit(.minutes(2))) func killedAnywhereItGoesOnToTheSameFile() throws {
        let source = try TemporaryDirectory()
        try SyntheticCheckpoint(expertCount: 4).write(to: source.path)
        let arguments = ["convert", source.path, "-o", model, "--type", "int8+int4"]
        try #require(try Program.run(arguments).code == 0)
        let checksum = try ProgramTests.checksum(of: model)
        let counts = try FaultInjection.counts(of: arguments + ["--force"])
        let total = try #require(counts["any"])
        var resumed = 0
        for point in 0..<60 {
            for leftover in ["", ".partial", ".journal"] { unlink(model + leftover) }
            let fault = "any:\(1 + point * total / 60):\(point % 2 == 0 ? "kill" : "tear")"
            let killed = try Program.run(arguments, environment: try FaultInjection(fault: fault).environment())
            #expect(killed.code == 128 + Int(SIGKILL))
            let outcome = try Program.run(arguments + ["--resume"])
            #expect(outcome.code == 0, "\(fault): \(outcome.error)")
            #expect(try ProgramTests.checksum(of: model) == checksum, "\(fault)")
            if outcome.output.contains("were there already") { resumed += 1 }
        }
        #expect(resumed > 10)
    }

    @Test func anyNumberOfThreadsGivesTheSameBytes() throws {
        var checksums: Set<UInt64> = []
        for threads in ["1", "2", "5"] {
            _ = try convert("--threads", threads, "--force")
            checksums.insert(try ProgramTests.checksum(of: model))
        }
        #expect(checksums.count == 1)
    }

    @Test func rulesMixPlanesWithOtherTypes() throws {
        let reader = try convert(
            "--rule", "layers.*.experts.{0-15}.down=int8", "--rule", "layers.*.experts.{16-31}.{gate,up}=bf16",
            "--rule",
            "layers.*.attention.*=int4")
        let layer = try #require(reader.experts.keys.map(\.layer).min())
        let first = try #require(reader.source(of: ExpertKey(layer: layer, expert: 3), planes: .both))
        #expect(first.blob.layout.downFormat == .q8 && first.blob.layout.gateUpFormat == .q4)
        #expect(first.refinement?.layout.refinesDown == false && first.layout.gateUpFormat == .q8)
        let second = try #require(reader.source(of: ExpertKey(layer: layer, expert: 20), planes: .both))
        #expect(second.layout.gateUpFormat == .bf16 && second.blob.layout.downFormat == .q4)
        #expect(second.refinement?.layout.refinesGateUp == false && second.layout.downFormat == .q8)
        #expect(reader.tensors[TensorKey(.attentionOutput, layer: 0)]?.shape.format == .q4)
        #expect(try Program.run(["verify", model, "--against", Fixtures.demo]).code == 0)
    }

    @Test(arguments: ["rtn", "gptq"]) func onlyTheSearchFindsScalesForBoth(method: String) throws {
        let checkpoint = try Checkpoint(directory: Fixtures.demo)
        let plan = FormatPlan(checkpoint.configuration, type: .nested, isPure: false)
        let method = try #require(QuantizationMethod(rawValue: method))
        let error = #expect(throws: QuantizerError.self) { try plan.check(method) }
        #expect(error?.code == .badRule && error?.message.contains("int8+int4") == true)
        try plan.check(.search)
    }

    /// Experts that are published in 4 bits have nothing to refine.
    @Test func whatIsTakenOverAsItIsHasOnePlane() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.checkpoint("kimi-k2-int4"))
        let conversion = Conversion(
            checkpoint, plan: FormatPlan(checkpoint.configuration, type: .nested, isPure: true), packing: .never,
            threadCount: 2, progress: ConversionProgress(totalByteCount: 1, hashByteCount: 1))
        _ = try conversion.run(into: try ContainerWriter(path: model, replacing: true), tool: "test")
        let reader = try ContainerReader(path: model)
        #expect(reader.refinements.isEmpty)
        #expect(reader.experts.values.allSatisfy { $0.layout.gateUpFormat == .q4 && $0.layout.gateUpTable == .linear })
    }

    @Test func itIsForecastAndInspected() throws {
        let arguments = ["convert", Fixtures.demo, "-o", model, "--type", "int8+int4"]
        let forecast = try Program.run(arguments + ["--dry-run", "--pack", "never"])
        #expect(forecast.code == 0 && forecast.output.contains("q4 to q8") && forecast.output.contains("coarse plane"))
        #expect(forecast.output.contains("both planes"))
        let made = try Program.run(arguments + ["--pack", "never"])
        #expect(made.code == 0 && made.output.contains("with the coarse planes alone"))
        let inspected = try Program.run(["inspect", model])
        #expect(inspected.code == 0 && inspected.output.contains("two of 128 experts"))
        #expect(inspected.output.contains("refinements to q8"))
        struct Facts: Decodable {
            var fileByteCount: Int
        }
        let json = try Program.run(arguments + ["--dry-run", "--json", "--pack", "never"])
        let expected = try JSONDecoder().decode(Facts.self, from: Data(json.output.utf8)).fileByteCount
        let reader = try ContainerReader(path: model)
        #expect(Int(reader.fileByteCount) <= expected && expected - Int(reader.fileByteCount) < 8192)
    }
}

import Checkpoint
import Compute
import Container
import FoundationEssentials
import Glibc
import Quantizer
import TestSupport
import Testing

@Suite("moe-quantize verify and repair")
struct VerifyTests {
    private let directory: TemporaryDirectory
    private var model: String { "\(directory.path)/model.moe" }

    init() throws { directory = try TemporaryDirectory() }

    private func convert(_ options: String...) throws -> (reader: ContainerReader, checksum: UInt64) {
        let outcome = try Program.run(["convert", Fixtures.demo, "-o", model] + options)
        try #require(outcome.code == 0, "\(outcome.error)")
        return (try ContainerReader(path: model), try ProgramTests.checksum(of: model))
    }

    /// Turns bits of one byte over.
    private func damage(_ offset: UInt64, with mask: UInt8 = 0x40) throws {
        let descriptor = open(model, O_RDWR)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        var byte: UInt8 = 0
        try #require(pread(descriptor, &byte, 1, off_t(offset)) == 1)
        byte ^= mask
        try #require(pwrite(descriptor, &byte, 1, off_t(offset)) == 1)
    }

    private struct Verdict: Decodable {
        var isSound: Bool
        var arrayCount: Int
        var problems: [ContainerProblem]
    }

    private func verdict(_ outcome: Program.Outcome) throws -> Verdict {
        try JSONDecoder().decode(Verdict.self, from: Data(outcome.output.utf8))
    }

    @Test(arguments: [
        ["--type", "int4"], ["--type", "int8", "--pack", "always"], ["--type", "f32"], ["--type", "int8+int4"],
    ])
    func whatWasConvertedIsSoundAndTheSameAgain(options: [String]) throws {
        let outcome = try Program.run(["convert", Fixtures.demo, "-o", model] + options)
        try #require(outcome.code == 0)
        let verified = try Program.run(["verify", model, "--against", Fixtures.demo, "--json"])
        #expect(verified.code == 0, "\(verified.output)\(verified.error)")
        let verdict = try verdict(verified)
        #expect(verdict.isSound && verdict.problems.isEmpty && verdict.arrayCount == 249)
    }

    @Test(arguments: ["auto", "always"]) func everyDamagedRecordIsListedAndMadeAnew(pack: String) throws {
        let (reader, checksum) = try convert("--pack", pack)
        let tensor = try #require(reader.tensors[TensorKey(.keyValueUp, layer: 2)])
        let expert = try #require(reader.experts[ExpertKey(layer: 3, expert: 17)])
        try damage(tensor.offset)
        try damage(expert.offset + UInt64(expert.storedByteCount) - 1)
        let outcome = try Program.run(["verify", model, "--json"])
        #expect(outcome.code == 65)
        let verdict = try verdict(outcome)
        #expect(verdict.problems.map(\.name) == ["\(tensor.key)", "\(expert.key)"])
        #expect(verdict.problems.map(\.offset) == [tensor.offset, expert.offset])

        let copy = "\(directory.path)/copy.moe"
        let repaired = try Program.run(["repair", model, "--from", Fixtures.demo, "-o", copy])
        #expect(repaired.code == 0 && repaired.output.contains("\(expert.key)"), "\(repaired.error)")
        #expect(try ProgramTests.checksum(of: copy) == checksum)
        #expect(try ProgramTests.checksum(of: model) != checksum)
        #expect(try Program.run(["repair", model, "--from", Fixtures.demo]).code == 0)
        #expect(try ProgramTests.checksum(of: model) == checksum)
        #expect(try Program.run(["verify", model]).code == 0)
    }

    @Test func paddingThatIsNotZeroIsFoundAndMended() throws {
        let (reader, checksum) = try convert()
        let ends = reader.arrays.map { $0.offset + UInt64($0.storedByteCount) }
        let gap = try #require(zip(ends, reader.arrays.dropFirst()).first { $0 < $1.offset })
        try damage(gap.1.offset - 1)
        let outcome = try Program.run(["verify", model])
        #expect(outcome.code == 65 && outcome.output.contains("padding"))
        #expect(try Program.run(["repair", model, "--from", Fixtures.demo]).code == 0)
        #expect(try ProgramTests.checksum(of: model) == checksum)
    }

    /// A record whose checksum is right and whose numbers aren't.
    @Test(arguments: [BlockFormat.q4, .q8, .bf16, .f32]) func numbersThatAreNotFiniteAreFound(format: BlockFormat)
        throws
    {
        let writer = try ContainerWriter(path: model, replacing: false)
        let checkpoint = try Checkpoint(directory: Fixtures.checkpoint("moonlight"))
        let plan = FormatPlan(checkpoint.configuration, type: .f32, isPure: true)
        var bad: TensorKey?
        for tensor in checkpoint.tensors {
            var shape = plan.shape(of: tensor.requirement)
            if !tensor.requirement.mustBeF32 { shape.format = format }
            var bytes = [UInt8](repeating: 0, count: shape.byteCount)
            if !tensor.requirement.mustBeF32, tensor.requirement.key.layer == 1, bad == nil {
                bad = tensor.requirement.key
                // The largest exponent, in the first number or scale.
                let special: [UInt8] =
                    format == .f32 ? [0, 0, 0x80, 0x7F] : format == .bf16 ? [0x80, 0x7F] : [0, 0x7C]
                bytes.replaceSubrange(0..<special.count, with: special)
            }
            try bytes.withUnsafeBytes { try writer.append(tensor: tensor.requirement.key, shape: shape, bytes: $0) }
        }
        let layout = try #require(plan.layout(of: ExpertKey(layer: 1, expert: 0)))
        let zeros = [UInt8](repeating: 0, count: layout.byteCount)
        for expert in checkpoint.experts {
            try zeros.withUnsafeBytes {
                try writer.append(expert: expert.key, layout: layout, bytes: $0, packing: .auto)
            }
        }
        let recipe = Recipe(tool: "test", type: "f32", isPure: true, packing: .auto)
        try writer.finish(
            metadata: ModelMetadata(
                configuration: checkpoint.configuration, generationDefaults: .init(), recipe: recipe, sources: []),
            text: TextAssets())
        let outcome = try Program.run(["verify", model])
        #expect(outcome.code == 65 && outcome.output.contains("isn't finite"))
        #expect(outcome.output.contains("\(try #require(bad))"))
    }

    @Test func anotherCheckpointIsRefusedAndChangesNothing() throws {
        let source = try TemporaryDirectory()
        for name in try FileManager.default.contentsOfDirectory(atPath: Fixtures.demo) {
            try FileManager.default.copyItem(atPath: "\(Fixtures.demo)/\(name)", toPath: "\(source.path)/\(name)")
        }
        let (reader, _) = try convert()
        let expert = try #require(reader.experts[ExpertKey(layer: 1, expert: 0)])
        let name = "model.layers.1.mlp.experts.0.gate_proj.weight"
        // One weight of the damaged expert is another one now.
        for file in try FileManager.default.contentsOfDirectory(atPath: source.path)
        where file.hasSuffix(".safetensors") {
            let path = "\(source.path)/\(file)"
            guard let tensor = try SafetensorsFile(path: path).tensor(named: name) else { continue }
            var bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
            for place in 0..<64 { bytes[tensor.offset + place * 2] ^= 0x80 }
            for place in 0..<64 { bytes[tensor.offset + place * 2 + 1] ^= 0x80 }
            try bytes.write(to: path)
        }
        let compared = try Program.run(["verify", model, "--against", source.path])
        #expect(compared.code == 65 && compared.output.contains("\(expert.key) "))
        try damage(expert.offset + 100)
        let damaged = try ProgramTests.checksum(of: model)
        let refused = try Program.run(["repair", model, "--from", source.path])
        #expect(refused.code == 65 && refused.error.contains("\(expert.key)"), "\(refused.error)")
        let other = try Program.run(["repair", model, "--from", Fixtures.checkpoint("moonlight")])
        #expect(other.code == 65 && other.error.contains("configuration"))
        #expect(try ProgramTests.checksum(of: model) == damaged)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["model.moe"])
    }

    /// The matrix says which column matters, so without it, or with another, other bytes would be made.
    @Test func onlyTheImportanceMatrixThatWasUsedWillDo() throws {
        let configuration = try Checkpoint(directory: Fixtures.demo).configuration
        func write(_ name: String, _ moment: (Int) -> Float) throws -> String {
            let moments = configuration.residentTensors.filter { !$0.mustBeF32 }.map { tensor in
                let sums = (0..<tensor.columns).map(moment)
                let moments = ImportanceMatrix.Moments(columnCount: tensor.columns, sums: sums, counts: [100])
                return (ImportanceMatrix.Key.tensor(tensor.key), moments)
            }
            let path = "\(directory.path)/\(name)"
            try ImportanceMatrix(moments: Dictionary(uniqueKeysWithValues: moments), origin: .init()).write(to: path)
            return path
        }
        let own = try write("own") { Float(1 + $0 % 7) }
        let other = try write("other") { Float(1 + $0 % 5) }
        let (reader, checksum) = try convert("--imatrix", own)
        #expect(try Program.run(["verify", model, "--against", Fixtures.demo, "--imatrix", own]).code == 0)
        let tensor = try #require(reader.tensors[TensorKey(.attentionOutput, layer: 1)])
        try damage(tensor.offset + 5000)
        for options in [[], ["--imatrix", other]] {
            let refused = try Program.run(["repair", model, "--from", Fixtures.demo] + options)
            #expect(refused.code == 65 && refused.error.contains("--imatrix"), "\(refused.error)")
        }
        #expect(try Program.run(["repair", model, "--from", Fixtures.demo, "--imatrix", own]).code == 0)
        #expect(try ProgramTests.checksum(of: model) == checksum)
    }

    @Test func aDamagedIndexAndAnUnfinishedFileAreErrors() throws {
        let (reader, _) = try convert()
        try damage(reader.fileByteCount - 10)
        let outcome = try Program.run(["verify", model])
        #expect(outcome.code == 65 && outcome.error.contains("index"))
        #expect(try Program.run(["verify", "\(directory.path)/none.moe"]).code == 74)
    }
}

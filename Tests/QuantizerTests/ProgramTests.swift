import Container
import FoundationEssentials
import Glibc
import TestSupport
import Testing

@Suite("moe-quantize convert")
struct ProgramTests {
    private let directory: TemporaryDirectory
    private var target: String { "\(directory.path)/model.moe" }

    init() throws { directory = try TemporaryDirectory() }

    private var files: [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
    }

    @Test func theDemonstrationModelConvertsWithinSeconds() throws {
        let clock = ContinuousClock()
        let start = clock.now
        let outcome = try Program.run(["convert", Fixtures.demo, "-o", target, "--type", "int4"])
        #expect(outcome.code == 0 && outcome.error.isEmpty)
        #expect(clock.now - start < .seconds(5))
        for part in ["model.moe:", "bits each", "a token reads", "greatest errors", "left out", "layer 5"] {
            #expect(outcome.output.contains(part), "\(part)")
        }
        #expect(try ContainerReader(path: target).metadata.recipe.type == "int4")
    }

    @Test func anExistingFileIsReplacedOnlyByForce() throws {
        try Array("precious".utf8).write(to: target)
        let refused = try Program.run(["convert", Fixtures.demo, "-o", target])
        #expect(refused.code == 73 && refused.error.contains(target))
        #expect(try Data(contentsOf: URL(filePath: target)) == Data("precious".utf8))
        #expect(files == ["model.moe"])
        let forced = try Program.run(["convert", Fixtures.demo, "-o", target, "--force"])
        #expect(forced.code == 0)
        #expect(throws: Never.self) { try ContainerReader(path: target) }
    }

    @Test func aCheckpointWithoutATokenizerConvertsWithAWarning() throws {
        let outcome = try Program.run(["convert", Fixtures.checkpoint("moonlight"), "-o", target, "--type", "f32"])
        #expect(outcome.code == 0)
        #expect(outcome.error.contains("warning") && outcome.error.contains("tokenizer.json"))
        #expect(try ContainerReader(path: target).text.tokenizerJSON == nil)
    }

    @Test(arguments: [
        (["convert"], 64), (["convert", "/nowhere", "-o", "/nowhere/x.moe"], 74), (["convert", "x"], 64),
        (["convert", "x", "-o", "y", "--type", "int5"], 64), (["convert", "x", "-o", "y", "--threads", "0"], 64),
        (["nothing"], 64), (["--version"], 0),
    ])
    func exitCodes(arguments: [String], code: Int) throws {
        #expect(try Program.run(arguments).code == code)
    }

    @Test func badDataAreNamedAndLeaveNothingBehind() throws {
        let source = try TemporaryDirectory()
        try SyntheticCheckpoint().write(to: source.path)
        try Array("{\"model_type\": \"qwen2_moe\"}".utf8).write(to: "\(source.path)/config.json")
        let outcome = try Program.run(["convert", source.path, "-o", target])
        #expect(outcome.code == 65 && outcome.error.contains("\"qwen2_moe\"") && outcome.error.contains("deepseek_v3"))
        #expect(files.isEmpty)
    }

    /// More than a gigabyte in tensors of at most 34 MB: memory must follow the tensor, not the checkpoint. Then the
    /// same again, with a signal in the middle, after which it goes on.
    @Test(.timeLimit(.minutes(2))) func memoryAndInterruption() throws {
        let source = try TemporaryDirectory()
        let many = SyntheticCheckpoint(
            hiddenSize: 1024, layerCount: 7, expertCount: 64, expertWidth: 448, vocabularySize: 16384)
        #expect(try many.write(to: source.path) > 1_050_000_000)
        let outcome = try Program.run(["convert", source.path, "-o", target, "--type", "int4"])
        #expect(outcome.code == 0, "\(outcome.error)")
        #expect((1..<3 * many.largestByteCount + 200_000_000).contains(outcome.greatestResidentByteCount))
        let whole = try Self.checksum(of: target)
        try FileManager.default.removeItem(atPath: target)

        let interrupted = try Program.run(
            ["convert", source.path, "-o", target, "--type", "int4"], signal: SIGINT, when: { isPartialGrowing })
        #expect(interrupted.code == 130 && interrupted.error.contains("cancelled"))
        #expect(interrupted.error.contains("--resume") && !files.contains("model.moe"))
        let resumed = try Program.run(["convert", source.path, "-o", target, "--type", "int4", "--resume"])
        #expect(resumed.code == 0 && resumed.output.contains("were there already"), "\(resumed.error)")
        #expect(try Self.checksum(of: target) == whole && files == ["model.moe"])
    }

    /// Whether there is more than a start.
    private var isPartialGrowing: Bool {
        var status = stat()
        return stat(target + ".partial", &status) == 0 && status.st_size > 30 << 20
    }

    static func checksum(of path: String) throws -> UInt64 {
        XXH3.hash([UInt8](try Data(contentsOf: URL(filePath: path), options: .mappedIfSafe)))
    }

    /// The largest tensor decides: 0.3 GB, stored as f32 in twice as much.
    @Test(.timeLimit(.minutes(2))) func memoryOfOneLargeTensor() throws {
        let source = try TemporaryDirectory()
        let one = SyntheticCheckpoint(hiddenSize: 256, vocabularySize: 600_000)
        try one.write(to: source.path)
        #expect(one.largestByteCount > 300_000_000)
        let outcome = try Program.run(["convert", source.path, "-o", target, "--type", "f32"])
        #expect(outcome.code == 0, "\(outcome.error)")
        #expect((1..<3 * one.largestByteCount + 200_000_000).contains(outcome.greatestResidentByteCount))
    }
}

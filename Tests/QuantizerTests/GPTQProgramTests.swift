import Container
import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// `moe-quantize calibrate --hessians` and `convert --method gptq`, as a person runs them.
@Suite("moe-quantize convert --method gptq")
struct GPTQProgramTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func path(_ name: String) -> String { "\(directory.path)/\(name)" }

    private func run(_ arguments: String...) throws -> Program.Outcome { try Program.run(arguments) }

    /// - Parameter byteCount: of the demonstration model's own samples, from their start.
    private func calibrate(byteCount: Int = 8000, _ options: [String] = ["--hessians"]) throws -> Program.Outcome {
        if !exists(path("f32.moe")) {
            try #require(try run("convert", Fixtures.demo, "-o", path("f32.moe"), "--type", "f32").code == 0)
        }
        let text = try Data(contentsOf: URL(filePath: "\(Fixtures.demo)/samples.txt"))
        try [UInt8](text.prefix(byteCount)).filter { $0 < 128 }.write(to: path("text"))
        return try Program.run(
            ["calibrate", path("f32.moe"), "--text", path("text"), "-o", path("imatrix"), "--context", "96"] + options)
    }

    private func convert(_ name: String, _ options: String...) throws -> Program.Outcome {
        try Program.run(
            ["convert", Fixtures.demo, "-o", path(name), "--pure", "--method", "gptq", "--imatrix", path("imatrix")]
                + options)
    }

    private func checksum(_ name: String) throws -> UInt64 { try ProgramTests.checksum(of: path(name)) }

    @Test(.timeLimit(.minutes(5))) func theSameBytesForAnyThreadsKillsAndRepairs() throws {
        try #require(try calibrate().code == 0)
        let first = try convert("a.moe", "--threads", "1")
        #expect(first.code == 0, "\(first.error)")
        #expect(try convert("b.moe", "--threads", "3").code == 0)
        let expected = try checksum("a.moe")
        #expect(try checksum("b.moe") == expected)
        #expect(try ContainerReader(path: path("a.moe")).metadata.recipe.method == "gptq")

        let arguments = [
            "convert", Fixtures.demo, "-o", path("c.moe"), "--pure", "--method", "gptq", "--imatrix", path("imatrix"),
        ]
        let total = try #require(try FaultInjection.counts(of: arguments)["any"])
        try FileManager.default.removeItem(atPath: path("c.moe"))
        for point in 1...3 {
            let fault = try FaultInjection(fault: "any:\(point * total / 4):kill").environment()
            #expect(try Program.run(arguments + ["--force"], environment: fault).code == 128 + Int(SIGKILL))
            #expect(try Program.run(arguments + ["--resume"]).code == 0)
            #expect(try checksum("c.moe") == expected)
            try FileManager.default.removeItem(atPath: path("c.moe"))
        }

        let reader = try ContainerReader(path: path("b.moe"))
        let tensor = try #require(reader.tensors[TensorKey(.attentionOutput, layer: 2)])
        let expert = try #require(reader.experts[ExpertKey(layer: 3, expert: 17)])
        for offset in [tensor.offset, expert.offset + 100] { try damage(path("b.moe"), offset) }
        let options = ["--imatrix", path("imatrix")]
        #expect(try run("verify", path("b.moe")).code == 65)
        let repaired = try Program.run(["repair", path("b.moe"), "--from", Fixtures.demo] + options)
        #expect(repaired.code == 0, "\(repaired.error)")
        #expect(try checksum("b.moe") == expected)
        #expect(try Program.run(["verify", path("b.moe"), "--against", Fixtures.demo] + options).code == 0)
    }

    private func damage(_ path: String, _ offset: UInt64) throws {
        let descriptor = open(path, O_RDWR)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        var byte: UInt8 = 0
        try #require(pread(descriptor, &byte, 1, off_t(offset)) == 1)
        byte ^= 0x40
        try #require(pwrite(descriptor, &byte, 1, off_t(offset)) == 1)
    }

    /// A text so short that some experts see fewer tokens than they have columns.
    @Test func expertsThatSawFewTokensAreNamed() throws {
        try #require(try calibrate(byteCount: 2500).code == 0)
        let outcome = try convert("few.moe")
        #expect(outcome.code == 0, "\(outcome.error)")
        let matrix = try #require(outcome.output.split(separator: "\n").first { $0.contains("tokens of calibration") })
        #expect(outcome.output.contains("rounded alone") && matrix.contains(".down: only "))
        #expect(!outcome.output.contains("{gate,up}"), "the whole layer's tokens speak for gate and up")
        #expect(try run("verify", path("few.moe"), "--against", Fixtures.demo, "--imatrix", path("imatrix")).code == 0)
    }

    @Test func anotherCalibrationIsRefused() throws {
        try #require(try calibrate().code == 0)
        #expect(try convert("model.moe").code == 0)
        // The same moments without the second-order matrices are another calibration.
        try #require(try calibrate([]).code == 0)
        let against = try run("verify", path("model.moe"), "--against", Fixtures.demo, "--imatrix", path("imatrix"))
        #expect(against.code == 65 && against.error.contains("importance matrix"))
        #expect(try run("repair", path("model.moe"), "--from", Fixtures.demo).code == 65)
        let without = try convert("other.moe")
        #expect(without.code == 64 && without.error.contains("calibrate --hessians"))
        let missing = try run("convert", Fixtures.demo, "-o", path("other.moe"), "--method", "gptq")
        #expect(missing.code == 64 && missing.error.contains("calibrate --hessians"))
        #expect(!exists(path("other.moe")))
    }

    /// More readings of the text instead of more memory, to the same file.
    @Test func memoryIsBoundedAndDoesNotChangeTheFile() throws {
        let whole = try calibrate(byteCount: 4000)
        #expect(whole.code == 0 && whole.output.contains("in 1 readings"), "\(whole.error)")
        let expected = try checksum("imatrix")
        let pieces = try calibrate(byteCount: 4000, ["--hessians", "--memory", "1300K", "--threads", "1"])
        #expect(pieces.code == 0 && !pieces.output.contains("in 1 readings"), "\(pieces.output)\(pieces.error)")
        #expect(try checksum("imatrix") == expected)
        let tooLittle = try calibrate(byteCount: 4000, ["--hessians", "--memory", "100K"])
        #expect(tooLittle.code == 71 && tooLittle.error.contains("--memory"), "\(tooLittle.code) \(tooLittle.error)")
        #expect(try checksum("imatrix") == expected)
    }

    @Test func damageInTheCalibrationIsFoundAndNamed() throws {
        try #require(try calibrate(byteCount: 4000).code == 0)
        let file = try FileManager.default.attributesOfItem(atPath: path("imatrix"))
        let size = try #require(file[.size] as? Int)
        try damage(path("imatrix"), UInt64(size - 40))
        let outcome = try convert("model.moe")
        #expect(outcome.code == 65 && outcome.error.contains(".hessian") && outcome.error.contains("Calibrate again"))
        #expect(!exists(path("model.moe")))
    }
}

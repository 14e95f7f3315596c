import Checkpoint
import Container
import FoundationEssentials
import Quantizer
import TestSupport
import Testing

@Suite("moe-quantize convert --dry-run")
struct ForecastTests {
    private let directory: TemporaryDirectory
    private var target: String { "\(directory.path)/model.moe" }

    init() throws { directory = try TemporaryDirectory() }

    private struct Answer: Decodable {
        struct Tensor: Decodable {
            var name: String
            var count: Int
            var type: String
            var byteCount: Int
        }

        struct Device: Decodable {
            var leastMemoryByteCount: Int
            var byteCountPerToken: Int
        }

        var recipe: Recipe
        var tensors: [Tensor]
        var fileByteCount: Int
        var peakMemoryByteCount: Int
        var device: Device
    }

    @Test(arguments: [
        ["--type", "int4"], ["--pure"], ["--recipe", "quality"], ["--recipe", "small"], ["--type", "f32"],
        ["--rule", "layers.{1-2}.experts.{0-3}.down=int8", "--rule", "lm_head.weight=bf16"],
    ])
    func saysWhatConvertingMakes(options: [String]) throws {
        let arguments = ["convert", Fixtures.demo, "-o", target, "--pack", "never"] + options
        let forecast = try Program.run(arguments + ["--dry-run", "--json"])
        #expect(forecast.code == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
        let answer = try JSONDecoder().decode(Answer.self, from: Data(forecast.output.utf8))

        let outcome = try Program.run(arguments)
        #expect(outcome.code == 0)
        let reader = try ContainerReader(path: target)
        // The recorded losses are as long as their digits.
        #expect((0...10240).contains(answer.fileByteCount - Int(reader.fileByteCount)))
        #expect(reader.metadata.recipe == answer.recipe)
        let arrays =
            (Array(reader.tensors.values) + reader.prediction.tensors.values).reduce(0) { $0 + $1.byteCount }
            + (Array(reader.experts.values) + reader.prediction.experts.values).reduce(0) { $0 + $1.byteCount }
        #expect(answer.tensors.reduce(0) { $0 + $1.byteCount } == arrays)
        #expect(answer.tensors.contains { $0.name == "output.head" })
        #expect(outcome.greatestResidentByteCount <= answer.peakMemoryByteCount)
        #expect(answer.device.leastMemoryByteCount > answer.device.byteCountPerToken / 2)
    }

    @Test func theTextNamesWhatMatters() throws {
        let outcome = try Program.run(["convert", Fixtures.demo, "-o", target, "--dry-run"])
        #expect(outcome.code == 0)
        for part in [
            "layers.0.attention.output", "layers.{1-5}.experts.*.down", "160 ×", "recipe balanced", "*=int4",
            "disk free",
            "dense weights", "an expert", "a token reads", "least memory", "--memory",
        ] { #expect(outcome.output.contains(part), "\(part)") }
    }

    @Test func rulesComeFromAFileToo() throws {
        try Array("# mine\noutput.head=f32\n".utf8).write(to: "\(directory.path)/rules")
        let outcome = try Program.run([
            "convert", Fixtures.demo, "-o", target, "--dry-run", "--rules", "\(directory.path)/rules",
        ])
        #expect(outcome.code == 0 && outcome.output.contains("  output.head=f32\n"))
    }

    @Test(arguments: [
        (["--rule", "nothing=int8"], 64), (["--rules", "/nowhere"], 74), (["--recipe", "best"], 64),
        (["--recipe", "quality", "--type", "bf16"], 64), (["--recipe", "small", "--pure"], 64),
    ])
    func exitCodes(options: [String], code: Int) throws {
        #expect(try Program.run(["convert", Fixtures.demo, "-o", target] + options).code == code)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).filter { $0 != "rules" }.isEmpty)
    }
}

import Checkpoint
import Container
import FoundationEssentials
import Model
import Quantizer
import TestSupport
import Testing

@Suite struct EvaluateProgramTests {
    private struct Report: Decodable {
        struct Text: Decodable {
            var byteCount: Int
            var checksum: String
        }
        struct Estimate: Decodable { var value: Double }
        struct Comparison: Decodable { var meanDivergence: Estimate }
        struct Result: Decodable {
            var perplexity: Estimate
            var comparison: Comparison?
        }
        var text: Text
        var chunkCount: Int
        var isCalibratedOnText: Bool
        var result: Result
    }

    @Test func evaluatesForPeopleAndForPrograms() throws {
        let (model, reference) = (try DemoModel.path("int4"), try DemoModel.path("f32"))
        let arguments = ["evaluate", model, "--text", DemoModel.text, "--reference", reference, "--context", "256"]
        let people = try Program.run(arguments)
        #expect(people.code == 0, "\(people.error)")
        for word in ["perplexity", "mean KLD", "99 % KLD", "same top token", "XXH3", "15397 bytes"] {
            #expect(people.output.contains(word), "\(word) is missing in \(people.output)")
        }
        let programs = try Program.run(arguments + ["--json", "--threads", "1"])
        let report = try JSONDecoder().decode(Report.self, from: Data(programs.output.utf8))
        #expect(report.text.byteCount == 15397)
        #expect(report.text.checksum.count == 16 && people.output.contains(report.text.checksum))
        #expect(!report.isCalibratedOnText)
        #expect((report.result.comparison?.meanDivergence.value ?? 0) > 0.005)
    }

    @Test func tellsWhatLossyHelpCostsAndSaves() throws {
        let model = try DemoModel.path("int4")
        let arguments = [
            "evaluate", model, "--reference", model, "--text", DemoModel.text, "--context", "256", "--step",
        ]
        let outcome = try Program.run(arguments + ["--slots", "32", "--prefer-resident", "0.1", "--drop-cold", "0.5"])
        #expect(outcome.code == 0, "\(outcome.error)")
        for words in [
            "32 of 128 fit in memory", "% of 61440 choices", "(--prefer-resident 0.1)", "(--drop-cold 0.5)",
        ] {
            #expect(outcome.output.contains(words), "\(words) is missing in \(outcome.output)")
        }
        for wrong in [["--prefer-resident", "0.1", "--batch"], ["--drop-cold", "1.5"], ["--prefer-resident", "nan"]] {
            #expect(try Program.run(Array(arguments.dropLast()) + wrong).code == 64)
        }
    }

    @Test func calibratesIntoAFile() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/imatrix"
        let outcome = try Program.run([
            "calibrate", try DemoModel.path("f32"), "--text", DemoModel.text, "-o", path, "--context", "128",
        ])
        #expect(outcome.code == 0, "\(outcome.error)")
        #expect(outcome.output.contains("fingerprint"))
        let matrix = try ImportanceMatrix(path: path)
        try matrix.check(against: DemoModel.container("f32").metadata.configuration, path: path)
        #expect(matrix.origin.contextLength == 128)
        #expect(matrix.origin.textNames == ["samples.txt"])
        #expect(outcome.output.contains(matrix.origin.textChecksums[0]))
    }

    @Test func refusesTextWithoutATokenizer() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/mute.moe"
        let made = try Program.run([
            "convert", Fixtures.checkpoint("deepseek-v3"), "-o", path, "--type", "f32",
        ])
        try #require(made.code == 0, "\(made.error)")
        for command in [["evaluate"], ["calibrate", "-o", "\(directory.path)/imatrix"]] {
            let outcome = try Program.run(command + [path, "--text", DemoModel.text])
            #expect(outcome.code == 65)
            #expect(outcome.error.contains("has no tokenizer"))
        }
    }

    @Test(arguments: [
        (["--text", "/nowhere/text"], 74), (["--text", "/proc/self/exe", "--context", "64"], 65),
        (["--text", DemoModel.text, "--context", "2500"], 64), (["--text", DemoModel.text, "--context", "3"], 64),
        (["--text", DemoModel.text, "--reference", "/nowhere/reference.moe"], 74),
    ])
    func refusesWithTheRightCode(_ arguments: [String], _ code: Int) throws {
        let outcome = try Program.run(["evaluate", try DemoModel.path("int4")] + arguments)
        #expect(outcome.code == code, "\(outcome.error)")
        #expect(!outcome.error.isEmpty)
    }
}

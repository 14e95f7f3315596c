import FoundationEssentials
import FuzzTargets
import TestSupport
import Testing

/// Files that may say anything: no crash, no hang, bounded memory, and what is read is well-formed.
///
/// The inputs are the same in every run: `FUZZ_SEED` changes them, and `FUZZ_COUNT` how many each parser gets.
@Suite(.serialized) struct ParserFuzzTests {
    private static func setting(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }

    @Test(arguments: FuzzedParser.allCases) func anyFileIsReadOrRefused(parser: FuzzedParser) async throws {
        let directory = try TemporaryDirectory()
        let run: FuzzRun = FuzzRun(
            parser: parser, seed: Self.setting("FUZZ_SEED") ?? 1,
            inputCount: (Self.setting("FUZZ_COUNT").map { Int(clamping: $0) } ?? 100_000) / parser.cost,
            progressPath: "\(directory.path)/progress")
        let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            [run = run as FuzzRun] in
            try run()
        }
        guard result == nil else { return }
        let place = (try? Data(contentsOf: URL(filePath: run.progressPath))).map { data in
            data.reversed().reduce(0) { $0 << 8 | Int($1) }
        }
        Issue.record("\(parser): FUZZ_SEED=\(run.seed), input \(place.map(String.init) ?? "none")")
    }
}

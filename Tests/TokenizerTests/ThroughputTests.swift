import Foundation
import TestSupport
import Testing
import Tokenizer

@Suite(.serialized) struct ThroughputTests {
    /// A loose bound, since tests share the machine; the figure is printed.
    private static let leastBytesPerSecond = 2e6

    private func measure(
        _ text: String, _ name: String, _ tokenizer: Tokenizer? = nil
    ) throws -> Double {
        let tokenizer = try tokenizer ?? DemoTokenizer.load()
        var best = Duration.seconds(1000)
        for _ in 0..<3 {
            let duration = try ProcessorTime.measure {
                _ = try tokenizer.encode(text, special: .literal, addBegin: false)
            }
            best = min(best, duration)
        }
        let rate = Double(text.utf8.count) / (best / .seconds(1))
        print("encoding \(name): \((rate / 1e5).rounded() / 10) MB/s")
        return rate
    }

    @Test func storiesAreEncodedFast() throws {
        let sample = try String(contentsOfFile: "\(Fixtures.demo)/samples.txt", encoding: .utf8)
        let text = String(repeating: sample, count: 60)
        #expect(try measure(text, "stories") > Self.leastBytesPerSecond)
    }

    @Test(arguments: ["characters", "phrases", "unigram", "composed"])
    func everyKindIsEncodedFast(name: String) throws {
        let kind = try #require(try KindFile.shared.get().kinds.first { $0.name == name })
        let sample = try String(contentsOfFile: "\(Fixtures.demo)/samples.txt", encoding: .utf8)
        #expect(try measure(String(repeating: sample, count: 20), name, kind.tokenizer()) > Self.leastBytesPerSecond)
    }

    @Test(.enabled(if: SharedData.exists, "\(SharedData.reason)"))
    func ordinaryEnglishIsEncodedFast() throws {
        let text = try String(contentsOfFile: "\(SharedData.directory)/data/wiki.test.raw", encoding: .utf8)
        #expect(try measure(text, "wiki.test.raw") > Self.leastBytesPerSecond)
    }
}

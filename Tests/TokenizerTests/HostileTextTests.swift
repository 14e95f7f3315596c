import TestSupport
import Testing
import Tokenizer

@Suite(.serialized) struct HostileTextTests {
    /// A megabyte without a place to split takes time in proportion, and comes back whole.
    @Test(arguments: [
        "a", "ab", "the", " ", "\n", " \n", "7", "!", "é", "中", "\u{301}", "<", "<｜User｜", "\u{0}", "\u{2003}",
    ])
    func longRunsAreEncodedInTime(unit: String) throws {
        let tokenizer = try DemoTokenizer.load()
        let text = String(repeating: unit, count: 1_000_000 / unit.utf8.count)
        var ids: [Int32] = []
        let duration = try ProcessorTime.measure {
            ids = try tokenizer.encode(text, special: .literal, addBegin: false)
        }
        #expect(duration < .seconds(5))
        #expect(DemoTokenizer.areIdentical(tokenizer.decode(ids, skipSpecial: false), text))
    }

    private static func tokenizer(pattern: String) throws -> Tokenizer {
        let stage: [String: Any] = ["type": "Split", "pattern": ["Regex": pattern], "behavior": "Isolated"]
        let byteLevel: [String: Any] = ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false]
        let json = try DemoTokenizer.json(overrides: [
            "pre_tokenizer": ["type": "Sequence", "pretokenizers": [stage, byteLevel]]
        ])
        return try Tokenizer(tokenizerJSON: json, configJSON: nil)
    }

    /// Patterns that take quadratic or exponential time, or memory for each character, on a text made for them.
    @Test(arguments: [
        (#"[ ]+$"#, " ", 500_000, "x"), (#"(?:a+)+$"#, "a", 200_000, "b"), (#"(?:a|aa)+$"#, "a", 200_000, "b"),
        (#"(?:(?=a)[ab])+[xyz]"#, "a", 2_000_000, "c"),
    ])
    func patternsThatNeverEndAreStopped(pattern: String, unit: String, count: Int, end: String) throws {
        let tokenizer = try Self.tokenizer(pattern: pattern)
        let text = String(repeating: unit, count: count) + end
        var error: TokenizerError?
        let duration = ProcessorTime.measure {
            error = #expect(throws: TokenizerError.self) {
                try tokenizer.encode(text, special: .literal, addBegin: false)
            }
        }
        #expect(error?.code == .patternLimit)
        #expect(duration < .seconds(15))
        // The tokenizer is as good as before.
        #expect(try tokenizer.encode("the", special: .literal, addBegin: false).count == 1)
    }

    @Test func anyTextComesBackWhole() throws {
        let tokenizer = try DemoTokenizer.load()
        var generator = SplitMix(seed: 3)
        for _ in 0..<3000 {
            var text = ""
            for _ in 0..<Int.random(in: 0...40, using: &generator) {
                let limit: UInt32 = [0x80, 0x800, 0x10000, 0x110000].randomElement(using: &generator) ?? 0x80
                if let scalar = Unicode.Scalar(UInt32.random(in: 0..<limit, using: &generator)) {
                    text.unicodeScalars.append(scalar)
                }
            }
            for mode in [SpecialTokens.parsed, .asText, .literal] {
                let ids = try tokenizer.encode(text, special: mode, addBegin: false)
                #expect(DemoTokenizer.areIdentical(tokenizer.decode(ids, skipSpecial: false), text))
            }
        }
    }
}

/// Texts made to hurt the kinds that normalise, and those that merge characters.
@Suite(.serialized) struct HostileKindTests {
    @Test(arguments: [
        "characters", "phrases", "characters, whole pieces first", "unigram, not cut", "unigram", "composed",
    ])
    func aLongTextOfOneKindTakesTimeInProportion(name: String) throws {
        let tokenizer = try #require(try KindFile.shared.get().kinds.first { $0.name == name }).tokenizer()
        for unit in ["a", " ", "▁", "the", "中", "\u{301}", "\u{301}\u{334}", "e\u{301}", "\u{600}", "\r\n", "\u{0}"] {
            let text = String(repeating: unit, count: 200_000 / unit.utf8.count)
            let duration = try ProcessorTime.measure {
                _ = try tokenizer.encode(text, special: .literal, addBegin: false)
            }
            #expect(duration < .seconds(2), "\(unit.debugDescription) took \(duration)")
        }
    }

    /// A text may not become many times as long as it was.
    @Test func aNormaliserThatBlowsUpIsStopped() throws {
        let long = String(repeating: "b", count: 200)
        let steps = [("a", long), ("b", long), ("b", long), ("b", long)].map {
            #"{"type": "Replace", "pattern": {"String": "\#($0.0)"}, "content": "\#($0.1)"}"#
        }
        let overrides = #"{"normalizer": {"type": "Sequence", "normalizers": [\#(steps.joined(separator: ","))]}}"#
        let tokenizer = try Tokenizer(
            tokenizerJSON: DemoTokenizer.json(overrides: Array(overrides.utf8)), configJSON: nil)
        let text = String(repeating: "a", count: 10_000)
        let error = #expect(throws: TokenizerError.self) {
            try tokenizer.encode(text, special: .literal, addBegin: false)
        }
        #expect(error?.code == .tooLarge && error?.field == "tokenizer.json normalizer")
        #expect(try tokenizer.encode("the", special: .literal, addBegin: false).count == 1)
    }
}

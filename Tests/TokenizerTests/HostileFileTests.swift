import Foundation
import TestSupport
import Testing
import Tokenizer

/// A bad `tokenizer.json` is an error that names the field; it never crashes or hangs.
@Suite struct HostileFileTests {
    private func load(_ json: [UInt8], config: String? = nil) throws -> Tokenizer {
        try Tokenizer(tokenizerJSON: json, configJSON: config.map { Array($0.utf8) })
    }

    private func expectError(
        _ overrides: String, _ code: TokenizerError.Code, field: String, _ location: SourceLocation = #_sourceLocation
    ) throws {
        let json = try DemoTokenizer.json(overrides: Array(overrides.utf8))
        let error = #expect(throws: TokenizerError.self, sourceLocation: location) { try load(json) }
        #expect(error?.code == code, "\(String(describing: error))", sourceLocation: location)
        #expect(error?.field.contains(field) == true, "\(String(describing: error))", sourceLocation: location)
    }

    private static let split = #""type": "Split", "invert": false, "behavior": "Isolated""#

    @Test(arguments: [
        (#"{"normalizer": {"type": "NFKC"}}"#, "normalizer"),
        (#"{"decoder": {"type": "WordPiece"}}"#, "decoder"),
        (#"{"decoder": null}"#, "decoder"),
        (#"{"model": {"type": "WordPiece"}}"#, "model.type"),
        (#"{"model": {"dropout": 0.1}}"#, "dropout"),
        (#"{"model": {"byte_fallback": true}}"#, "byte_fallback"),
        (#"{"model": {"end_of_word_suffix": "</w>"}}"#, "end_of_word_suffix"),
        (#"{"model": {"continuing_subword_prefix": "@@"}}"#, "continuing_subword_prefix"),
        (#"{"pre_tokenizer": {"type": "BertPreTokenizer"}}"#, "pre_tokenizer"),
        (#"{"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true}}"#, "pre_tokenizer"),
        (#"{"post_processor": {"type": "BertProcessing"}}"#, "post_processor"),
        (#"{"post_processor": {"type": "TemplateProcessing", "single": []}}"#, "post_processor"),
        (#"{"added_tokens": [{"id": 4096, "content": "a b", "lstrip": true}]}"#, "added_tokens"),
    ])
    func whatIsntDoneIsRefused(overrides: String, field: String) throws {
        try expectError(overrides, .unsupported, field: field)
    }

    @Test(arguments: [
        #"\w+"#, #"\bword"#, #"a*"#, #"(?=a)"#, #"[a[b]]"#,
        #"[^a&&[b]]"#, #"[a&&b]"#, #"[a&&[b]c]"#, #"(a)\1"#, #"a{2}+"#, #"a{,3}"#, #"\h"#,
        #"[^\S]"#, #"[\P{L}]"#, #"\p{Greek}"#, #"(?<name>a)"#, #"(?x) a"#, #"(*SKIP)a"#, #"\Qa\E"#, #"(?#x)a"#, #"\pL"#,
    ])
    func patternsThatDifferFromTheReferenceAreRefused(pattern: String) throws {
        let stage: [String: Any] = [
            "type": "Split", "pattern": ["Regex": pattern], "behavior": "Isolated", "invert": false,
        ]
        let byteLevel: [String: Any] = ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false]
        let json = try DemoTokenizer.json(overrides: [
            "pre_tokenizer": ["type": "Sequence", "pretokenizers": [stage, byteLevel]]
        ])
        let error = #expect(throws: TokenizerError.self) { try load(json) }
        #expect(error?.code == .unsupported, "\(String(describing: error))")
        #expect(error?.field == "tokenizer.json pre_tokenizer.pretokenizers[0]")
    }

    @Test(arguments: [
        #"["#, #"[a"#, #"a\"#, #"(a"#, #"a)"#, #"[b-a]"#, #"*a"#, #"\p{"#, #"\x{110000}"#, #"\u12"#, #"[]"#,
    ])
    func patternsThatArentPatternsAreRefused(pattern: String) throws {
        let stage: [String: Any] = ["type": "Split", "pattern": ["Regex": pattern], "behavior": "Isolated"]
        let json = try DemoTokenizer.json(overrides: ["pre_tokenizer": stage])
        #expect(throws: TokenizerError.self) { try load(json) }
    }

    @Test func otherBehavioursAreRefused() throws {
        let stage = #"{"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Doubled", "invert": false}"#
        try expectError(#"{"pre_tokenizer": \#(stage)}"#, .unsupported, field: "pre_tokenizer.behavior")
    }

    @Test(arguments: [
        (#"{"model": {"merges": [["h", "nothing"]]}}"#, "model.merges[0]"),
        (#"{"model": {"merges": [["h", "e"], ["a"]]}}"#, "model.merges[1]"),
        (#"{"model": {"merges": [["h", "e"], ["a", "b", "c"]]}}"#, "model.merges[1]"),
        (#"{"model": {"merges": ["h e", "no space here"]}}"#, "model.merges[1]"),
        (#"{"model": {"merges": 7}}"#, "tokenizer.json"),
        (#"{"model": {"vocab": {}}}"#, "model.vocab"),
        (#"{"model": {"vocab": {"a": -1}}}"#, "model.vocab"),
        (#"{"model": {"vocab": {"a": 4000000000}}}"#, "model.vocab"),
        (#"{"model": {"vocab": {"a": 1e300}}}"#, "tokenizer.json"),
        (#"{"model": {"vocab": {"a": 1.5}}}"#, "tokenizer.json"),
        (#"{"model": {"vocab": {"a": 20, "b": 20}}}"#, "model.vocab"),
        (#"{"model": {"vocab": {"a": 20, "b": 21}, "merges": []}}"#, "model.vocab"),
        (#"{"added_tokens": [{"id": 4096, "content": ""}]}"#, "added_tokens"),
        (#"{"added_tokens": [{"id": -1, "content": "x y"}]}"#, "added_tokens"),
        (#"{"added_tokens": [{"id": 10, "content": "x y"}]}"#, "added_tokens"),
        (#"{"added_tokens": [{"id": 4096, "content": "<think>"}]}"#, "added_tokens"),
        (#"{"added_tokens": [{"id": 4096, "content": "x y"}, {"id": 4097, "content": "x y"}]}"#, "added_tokens"),
        (#"{"added_tokens": [{"id": 4096, "content": "x y"}, {"id": 4096, "content": "x z"}]}"#, "added_tokens"),
    ])
    func contradictionsAreRefused(overrides: String, field: String) throws {
        try expectError(overrides, .malformed, field: field)
    }

    @Test(arguments: [#"{"x": {"ids": [99999]}}"#, #"{"x": {"ids": [-1]}}"#, "{}"])
    func aTemplatedTokenMustExist(specialTokens: String) throws {
        let single = #"[{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}]"#
        let processor = #"{"type": "TemplateProcessing", "single": \#(single), "special_tokens": \#(specialTokens)}"#
        try expectError(#"{"post_processor": \#(processor)}"#, .malformed, field: "post_processor")
    }

    @Test func aMergeMayNotMakeASpecialToken() throws {
        let once = try #require(try DemoTokenizer.load().id(of: "Once"))
        try expectError(
            #"{"added_tokens": [{"id": \#(once), "content": "Once", "special": true}]}"#, .malformed,
            field: "model.merges")
    }

    @Test func longTokensAndManyTokensAreRefused() throws {
        let long = String(repeating: "x", count: 300)
        try expectError(#"{"added_tokens": [{"id": 4096, "content": "\#(long)"}]}"#, .malformed, field: "added_tokens")
        let many = (0..<20_000).map { #"{"id": \#(4096 + $0), "content": "<\#($0)>"}"# }.joined(separator: ",")
        try expectError(#"{"added_tokens": [\#(many)]}"#, .tooLarge, field: "added_tokens")
    }

    @Test func aFileBeyondAllSizesIsRefusedUnread() {
        let error = #expect(throws: TokenizerError.self) { try load([UInt8](repeating: 0x20, count: (48 << 20) + 1)) }
        #expect(error?.code == .tooLarge)
        let values = Array(#"{"model":[\#(String(repeating: "1,", count: 4 << 20))1]}"#.utf8)
        #expect(#expect(throws: TokenizerError.self) { try load(values) }?.code == .tooLarge)
    }

    @Test func aTokenThatTheConfigNamesMustExist() throws {
        let error = #expect(throws: TokenizerError.self) {
            try load(DemoTokenizer.json(), config: #"{"bos_token": "<s>"}"#)
        }
        #expect(error?.field.contains("bos_token") == true)
        #expect(throws: TokenizerError.self) { try load(DemoTokenizer.json(), config: #"{"bos_token": 7}"#) }
        #expect(throws: TokenizerError.self) { try load(DemoTokenizer.json(), config: "") }
    }

    @Test func aTruncatedFileIsRefused() throws {
        let json = try DemoTokenizer.json()
        for count in stride(from: 0, to: json.count, by: json.count / 100) {
            #expect(throws: TokenizerError.self) { try load(Array(json[..<count])) }
        }
    }

    /// Two readers could take it for two vocabularies.
    @Test func aNameThatComesTwiceIsRefused() throws {
        let json = String(decoding: try DemoTokenizer.json(), as: UTF8.self)
        let doubled = json.replacing("\"model\":", with: "\"model\": {}, \"model\":", maxReplacements: 1)
        #expect(doubled != json)
        let error = #expect(throws: TokenizerError.self) { try load(Array(doubled.utf8)) }
        #expect(error?.code == .malformed)
        #expect(error?.message.contains("twice") == true)
    }

    @Test func deepNestingIsRefused() {
        let nested = String(repeating: #"{"type":"Sequence","pretokenizers":["#, count: 50_000)
        #expect(throws: TokenizerError.self) { try load(Array(#"{"pre_tokenizer":\#(nested)"#.utf8)) }
        #expect(throws: TokenizerError.self) { try load([UInt8](repeating: UInt8(ascii: "["), count: 1_000_000)) }
    }

    /// Whatever a damaged file still loads as, it encodes text without a crash.
    @Test func damagedFilesNeverCrash() throws {
        let json = try DemoTokenizer.json()
        var loaded = 0
        for seed in 0..<500 as Range<UInt64> {
            var mutator = Mutator(seed: seed)
            // Half of the damage is done outside the vocabulary, which is most of the file.
            let end = mutator.chance(1, in: 2) ? 4000 : json.count
            let damaged = mutator.mutate(Array(json[..<end])) + json[end...]
            guard let tokenizer = try? load(damaged) else { continue }
            loaded += 1
            let text = "<｜User｜>Once upon a time, 1234 \u{1FAE8}\r\n</think>"
            for mode in [SpecialTokens.parsed, .asText, .literal] {
                if let ids = try? tokenizer.encode(text, special: mode, addBegin: true) {
                    _ = tokenizer.decode(ids, skipSpecial: false)
                }
            }
        }
        #expect(loaded > 10)
    }
}

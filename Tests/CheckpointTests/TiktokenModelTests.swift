import Checkpoint
import Container
import Foundation
import JSON
import TestSupport
import Testing

/// A `tiktoken.model` that can't be right is an error that says where; so are special tokens that don't fit it.
@Suite struct TiktokenModelTests {
    private static func line(_ token: [UInt8], _ rank: Int) -> String { "\(Data(token).base64EncodedString()) \(rank)" }
    /// A token for each byte, and three more.
    private static let lines: [String] = {
        let bytes = (UInt8.min ... .max).map { [$0] }
        return (bytes + ["th", "he", "the"].map { Array($0.utf8) }).enumerated().map { line($1, $0) }
    }()

    private func model(_ lines: [String], separator: String = "\n") throws -> TiktokenModel {
        try TiktokenModel(Array(lines.joined(separator: separator).utf8), path: "tiktoken.model")
    }

    private func vocabulary(
        _ config: String?, rows: Int = 259 + 256, lines: [String] = Self.lines
    ) throws -> GGUFVocabulary {
        let json = try config.map { try JSONValue(parsing: Array($0.utf8), limits: JSONLimits(byteCount: 1 << 16)) }
        return try model(lines).vocabulary(config: json, configPath: "tokenizer_config.json", vocabularySize: rows)
            .vocabulary
    }

    @Test func linesMayComeInAnyOrderAndEndInAnyWay() throws {
        let expected = try vocabulary(#"{"added_tokens_decoder": {}}"#)
        #expect(expected.merges == ["t h", "h e", "t he", "th e"])
        #expect(expected.tokens[256...].prefix(4) == ["th", "he", "the", "<|reserved_token_259|>"])
        for lines in [Self.lines.reversed(), Self.lines + ["", ""], Self.lines.map { $0 + "\r" }] {
            let read = try vocabulary(#"{"added_tokens_decoder": {}}"#, lines: lines)
            #expect(read.tokens == expected.tokens && read.merges == expected.merges)
        }
    }

    static let bad: [(String, [String], String, String?)] = [
        ("nothing", [], "a byte has no token", nil),
        ("no rank", Array(lines.dropLast()) + ["dGhl"], "not a token and its rank", "'dGhl'"),
        ("two ranks", Array(lines.dropLast()) + ["dGhl 258 258"], "not a token and its rank", "'dGhl 258 258'"),
        ("a negative rank", Array(lines.dropLast()) + ["dGhl -1"], "not a token and its rank", nil),
        ("a rank beyond 63 bits", Array(lines.dropLast()) + ["dGhl 9223372036854775808"], "its rank", nil),
        ("a rank that is a fraction", Array(lines.dropLast()) + ["dGhl 258.0"], "its rank", nil),
        ("no base64", Array(lines.dropLast()) + ["d_hl 258"], "not base64", "'d_hl'"),
        ("base64 that ends early", Array(lines.dropLast()) + ["dGh 258"], "not base64", "'dGh'"),
        ("an empty token", Array(lines.dropLast()) + [" 258"], "length", "0"),
        ("a long token", lines + [line(Array(repeating: 97, count: 1025), 259)], "length", "1025"),
        ("a rank twice", lines + ["dGhl 257"], "a rank comes twice", "257"),
        ("a token twice", lines + ["dGhl 259"], "a token comes twice", "as 258 and as 259"),
        ("a gap", Array(lines.dropLast()) + ["dGhl 259"], "leaves out others", "259"),
        ("a rank far away", Array(lines.dropLast()) + ["dGhl 9223372036854775807"], "leaves out others", nil),
        ("a byte without a token", lines.map { $0 == line([255], 255) ? line([255, 255], 255) : $0 }, "a byte", nil),
    ]

    @Test(arguments: 0..<bad.count) func badLinesAreRefused(index: Int) throws {
        let (name, lines, message, found) = Self.bad[index]
        let error = try #require(throws: CheckpointError.self) { try model(lines) }
        #expect(error.code == .malformedVocabulary && error.path == "tiktoken.model", "\(name): \(error)")
        #expect(error.message.contains(message) && (found == nil || error.found == found), "\(name): \(error)")
        let place = lines.dropLast().reduce(0) { $0 + $1.utf8.count + 1 }
        #expect(error.offset == (message.hasPrefix("a byte") ? nil : place), "\(name): \(error)")
    }

    /// Some tokens that are alike have more merges than memory.
    @Test func mergesAreBounded() throws {
        let bytes = (UInt8.min ... .max).map { [$0] }
        let runs = (2...600).map { Array(repeating: UInt8(ascii: "a"), count: $0) }
        let lines = (bytes + runs).enumerated().map { Self.line($1, $0) }
        let error = try #require(throws: CheckpointError.self) {
            try vocabulary(#"{"added_tokens_decoder": {}}"#, rows: 1 << 20, lines: lines)
        }
        #expect(error.code == .malformedVocabulary && error.message.contains("ways to put tokens together"))
    }

    @Test func namesAreTheConfigurationsOrMadeOfNumbers() throws {
        let vocabulary = try vocabulary(
            """
            {"tokenizer_class": "TikTokenTokenizer", "added_tokens_decoder": {
             "259": {"content": "[BOS]", "special": true}, "261": {"content": "<think>", "special": false}}}
            """, rows: 262)
        #expect(vocabulary.tokens[259...] == ["[BOS]", "<|reserved_token_260|>", "<think>"])
        #expect(vocabulary.types[258...] == [1, 3, 3, 4])
        // Those without a row are left out, and there are never more than the class keeps.
        for (rows, count) in [(259, 259), (260, 260), (1000, 259 + 258)] {
            #expect(try self.vocabulary(#"{"added_tokens_decoder": {}}"#, rows: rows).tokens.count == count)
        }
    }

    private static func named(_ id: String, _ token: String) -> String {
        #"{"added_tokens_decoder": {"\#(id)": \#(token)}}"#
    }

    static let contradictions: [(String?, String)] = [
        (nil, "added_tokens_decoder"), ("{}", "added_tokens_decoder"),
        (#"{"added_tokens_decoder": 1}"#, "added_tokens_decoder"),
        (#"{"tokenizer_class": "QWenTokenizer", "added_tokens_decoder": {}}"#, "tokenizer_class"),
        (named("258", #"{"content": "x"}"#), "added_tokens_decoder.258"),
        (named("517", #"{"content": "x"}"#), "added_tokens_decoder.517"),
        (named("x", #"{"content": "x"}"#), "added_tokens_decoder.x"),
        (named("300", #"{"content": ""}"#), "added_tokens_decoder.300.content"),
        (named("300", "7"), "added_tokens_decoder.300.content"),
        (named("300", #"{"content": "x", "lstrip": true}"#), "added_tokens_decoder.300.lstrip"),
        (named("300", #"{"content": "x", "single_word": true}"#), "added_tokens_decoder.300.single_word"),
        (named("300", #"{"content": "the"}"#), "added_tokens_decoder"),
        (named("300", #"{"content": "<|reserved_token_301|>"}"#), "added_tokens_decoder"),
    ]

    @Test(arguments: 0..<contradictions.count) func contradictionsAreNamedByKey(index: Int) throws {
        let (config, key) = Self.contradictions[index]
        let error = try #require(throws: CheckpointError.self) { try vocabulary(config) }
        #expect(error.code == .configuration && error.path == "tokenizer_config.json", "\(error)")
        #expect(error.key == key, "\(error)")
    }

    @Test func aTokenWithoutARowIsRefused() throws {
        let error = try #require(throws: CheckpointError.self) {
            try vocabulary(#"{"added_tokens_decoder": {}}"#, rows: 258)
        }
        #expect(error.code == .malformedVocabulary && error.expected == "at most 258" && error.found == "259")
    }

    @Test func checkpointsAreRefusedForTheirVocabulary() throws {
        var edited = try EditedCheckpoint()
        edited.files["tiktoken.model"] = Self.lines.joined(separator: "\n")
        edited.files["tokenizer_config.json"] = #"{"added_tokens_decoder": {}}"#
        #expect(try edited.failure()?.found == "259")
        edited.files["tiktoken.model"] = Self.lines.prefix(256).joined(separator: "\n")
        #expect(try edited.open().text.tokenizerJSON != nil)
        edited.files["tokenizer_config.json"] = Self.named("256", #"{"content": "[BOS]"}"#)
        #expect(try edited.open().warnings.contains { $0.contains("no place") && $0.contains("[BOS]") })
        edited.files["tokenizer_config.json"] = nil
        #expect(try edited.failure()?.key == "added_tokens_decoder")
        edited.files["tiktoken.model"] = String(repeating: "\n", count: 16 << 20 + 1)
        #expect(try edited.failure()?.message == "too large")
        // The other file is the newer form and wins.
        edited.files["tokenizer.json"] = "{}"
        #expect(try edited.open().text.tokenizerJSON == Array("{}".utf8))
    }
}

import Checkpoint
import Foundation
import TestSupport
import Testing
import Tokenizer

/// What GGUF files say of their vocabularies becomes the tokenizer that it was.
@Suite struct GGUFVocabularyTests {
    /// The demonstration model's vocabulary, told as a GGUF file tells it.
    private static func demo(preTokenizer: String) throws -> GGUFVocabulary {
        let json = try JSONSerialization.jsonObject(with: Data(DemoTokenizer.json())) as? [String: Any]
        let model = try #require(json?["model"] as? [String: Any])
        let ids = try #require(model["vocab"] as? [String: Int])
        var tokens = [String](repeating: "", count: ids.count)
        for (token, id) in ids { tokens[id] = token }
        var types = tokens.map { _ in GGUFVocabulary.TokenType.normal.rawValue }
        for token in try #require(json?["added_tokens"] as? [[String: Any]]) {
            let id = try #require(token["id"] as? Int)
            types[id] = (token["special"] as? Bool == true ? GGUFVocabulary.TokenType.control : .userDefined).rawValue
        }
        var vocabulary = GGUFVocabulary(
            kind: .bytePair, preTokenizer: preTokenizer, tokens: tokens, types: types, path: "demo.gguf")
        vocabulary.merges = try #require(model["merges"] as? [[String]]).map { $0.joined(separator: " ") }
        vocabulary.beginToken = ids["<｜begin▁of▁sentence｜>"]
        vocabulary.endToken = ids["<｜end▁of▁sentence｜>"]
        return vocabulary
    }

    /// Merges are looked for by comparing parts of tokens, and there may be as many as a token has bytes.
    @Test(arguments: [
        (1...1024).map { String(repeating: "a", count: $0) },
        (0..<300).map { "\($0)" + String(repeating: "b", count: 1000) },
    ])
    func hostileScoresAreRefused(tokens: [String]) throws {
        var vocabulary = GGUFVocabulary(
            kind: .sentencePiece, preTokenizer: "default", tokens: tokens, types: [], path: "hostile.gguf")
        vocabulary.scores = tokens.map { _ in 0 }
        let error = try #require(throws: CheckpointError.self) { try vocabulary.tokenizerJSON() }
        #expect(error.message == "too many ways to put tokens together" && error.key == "tokenizer.ggml.tokens")
        vocabulary.tokens.removeLast(tokens.count - 30)
        vocabulary.scores.removeLast(tokens.count - 30)
        #expect(try !vocabulary.tokenizerJSON().isEmpty)
    }

    private static func tokenizer(_ vocabulary: GGUFVocabulary) throws -> Tokenizer {
        try Tokenizer(tokenizerJSON: vocabulary.tokenizerJSON(), configJSON: vocabulary.configJSON())
    }

    /// The patterns that were collected under these names cut the same pieces.
    @Test(
        .enabled(if: SharedData.exists, "\(SharedData.reason)"),
        arguments: [
            ("deepseek-llm", "deepseek-llm"), ("deepseek-coder", "deepseek-coder"), ("deepseek-v3", "deepseek-v3"),
            ("llama-bpe", "llama3/lfm2-family"), ("glm4", "chatglm4/glm4"), ("gpt-2", "gpt2 (olmo)"),
            ("bailingmoe", "bailingmoe"), ("kimi-k2", "kimi-k2"),
        ])
    func namedPreTokenizersEqualTheCollectedOnes(name: String, kindName: String) throws {
        let kind = try #require(KindFile.foreign.first { $0.name == kindName })
        let tokenizer = try Self.tokenizer(Self.demo(preTokenizer: name))
        var failures: [String] = []
        for (text, expected) in zip(try KindFile.shared.get().texts, kind.textChecks) {
            let ids = try tokenizer.encode(text, special: .parsed, addBegin: false)
            let decoded = tokenizer.decode(ids, skipSpecial: false)
            if KindFile.check(ids, decoded) != expected { failures.append(text.prefix(60).debugDescription) }
        }
        #expect(failures.isEmpty, "\(failures.count) differ: \(failures.prefix(8).joined(separator: "\n"))")
    }

    @Test(arguments: ["qwen2", "deepseek-r1-qwen", "llama3", "lfm2", "chatglm-bpe", "gpt-4o", "olmo", "llada-moe"])
    func everyNamedPreTokenizerLoads(name: String) throws {
        var vocabulary = try Self.demo(preTokenizer: name)
        vocabulary.addsBeginToken = true
        let tokenizer = try Self.tokenizer(vocabulary)
        let text = "It's 12345 e\u{301}tés, HTMLParser!\n\n"
        let ids = try tokenizer.encode(text, special: .parsed, addBegin: true)
        #expect(ids.first == tokenizer.beginToken && tokenizer.beginToken != nil)
        let composes = ["qwen2", "deepseek-r1-qwen", "olmo"].contains(name)
        #expect(
            DemoTokenizer.areIdentical(
                tokenizer.decode(ids, skipSpecial: true), composes ? "It's 12345 étés, HTMLParser!\n\n" : text))
    }

    private static func pieces(_ change: (inout GGUFVocabulary) -> Void = { _ in }) -> GGUFVocabulary {
        let bytes = (0..<256).map { "<0x\($0 < 16 ? "0" : "")\(String($0, radix: 16, uppercase: true))>" }
        let words = ["▁", "a", "b", "c", "ab", "bc", "abc", "▁a", "cab"]
        var vocabulary = GGUFVocabulary(
            kind: .sentencePiece, preTokenizer: "default", tokens: ["<unk>", "<s>", "</s>"] + bytes + words,
            types: [2, 3, 3] + bytes.map { _ in 6 } + words.map { _ in 1 }, path: "pieces.gguf")
        vocabulary.scores =
            [0, 0, 0] + bytes.map { _ in 0 } + [-9, -10, -11, -12, -2, -1, -3, -1.5, -3]
        vocabulary.unknownToken = 0
        vocabulary.beginToken = 1
        vocabulary.endToken = 2
        vocabulary.addsBeginToken = true
        change(&vocabulary)
        return vocabulary
    }

    /// The merge of the highest score comes first, whatever two tokens it is of.
    @Test func scoresSayWhatMergesFirst() throws {
        let tokenizer = try Self.tokenizer(Self.pieces())
        func tokens(_ text: String) throws -> [String] {
            try tokenizer.encode(text, special: .parsed, addBegin: true).map { id in
                String(decoding: tokenizer.bytes(of: id), as: UTF8.self)
            }
        }
        #expect(try tokens("abc") == ["<s>", " a", "bc"])
        #expect(try tokens("babc cab") == ["<s>", " ", "b", "abc", " ", "cab"])
        #expect(try tokens("</s>\n") == ["<s>", "</s>", " ", "\n"])
        let ids = try tokenizer.encode("é abc", special: .literal, addBegin: true)
        #expect(tokenizer.decode(ids, skipSpecial: true) == "é abc")

        let json = String(decoding: try Self.pieces().tokenizerJSON(), as: UTF8.self)
        let merges = #""merges":[["b","c"],["▁","a"],["a","b"],["ab","c"],["a","bc"],["c","ab"]]"#
        #expect(json.contains(merges))
        let plain = try Self.tokenizer(Self.pieces { $0.addsSpacePrefix = false })
        let plainIDs = try plain.encode("abc", special: .parsed, addBegin: false)
        #expect(plainIDs == [plain.id(of: "abc")])
        #expect(plain.decode(plainIDs, skipSpecial: true) == "abc")
    }

    @Test func gapsAreNoTokensOfTexts() throws {
        var vocabulary = try Self.demo(preTokenizer: "gpt-2")
        let gap = vocabulary.tokens.count
        vocabulary.tokens += ["[PAD\(gap)]", "[PAD7]"]
        vocabulary.types += [4, 4]
        let tokenizer = try Self.tokenizer(vocabulary)
        #expect(tokenizer.vocabularySize == gap + 2)
        #expect(try tokenizer.encode("[PAD\(gap)]", special: .parsed, addBegin: false).count > 1)
        #expect(try tokenizer.encode("[PAD7]", special: .parsed, addBegin: false) == [Int32(gap + 1)])
    }

    private static let contradictions: [(@Sendable (inout GGUFVocabulary) -> Void, String)] = [
        ({ $0.types.removeLast() }, "token_type"), ({ $0.types[3] = 7 }, "token_type"),
        ({ $0.scores.removeLast() }, "scores"), ({ $0.scores[262] = .nan }, "scores"),
        ({ $0.tokens[262] = "a" }, "tokens"), ({ $0.beginToken = 999 }, "bos_token_id"),
        ({ $0.unknownToken = -1 }, "unknown_token_id"),
        (
            {
                $0.kind = .bytePair
                $0.preTokenizer = "unheard-of"
            }, "pre"
        ),
        (
            {
                $0.kind = .bytePair
                $0.preTokenizer = "gpt-2"
                $0.merges = ["a b c"]
            }, "merges"
        ),
    ]

    @Test(arguments: 0..<contradictions.count)
    func contradictionsAreRefusedByKey(index: Int) throws {
        let (change, key) = Self.contradictions[index]
        let vocabulary = Self.pieces(change)
        let error = #expect(throws: CheckpointError.self) {
            _ = try vocabulary.configJSON()
            _ = try vocabulary.tokenizerJSON()
        }
        #expect(error?.key == "tokenizer.ggml.\(key)" && error?.path == "pieces.gguf", "\(String(describing: error))")
    }
}

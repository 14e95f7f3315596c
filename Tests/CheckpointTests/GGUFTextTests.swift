import Checkpoint
import Container
import GGUFSupport
import TestSupport
import Testing
import Tokenizer

@Suite("Tokenizers inside GGUF files") struct GGUFTextTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func open(of name: String = "llama", _ edit: (inout GGUFImage) -> Void) throws -> Checkpoint {
        var image = try GGUFFixture(name, .f32).image
        // What the converter made of a byte-level tokenizer.
        let file = try GGUFFile(InputFile(path: Fixtures.gguf("llama-q8_0")))
        image["tokenizer.ggml.model"] = .text("gpt2")
        image["tokenizer.ggml.pre"] = .text("deepseek-v3")
        image["tokenizer.ggml.tokens"] = .texts(file.texts("tokenizer.ggml.tokens") ?? [])
        image["tokenizer.ggml.merges"] = .texts(file.texts("tokenizer.ggml.merges") ?? [])
        edit(&image)
        let path = "\(directory.path)/model.gguf"
        try image.write(to: path)
        return try Checkpoint(path: path)
    }

    private func failure(_ edit: (inout GGUFImage) -> Void) throws -> CheckpointError {
        try #require(throws: CheckpointError.self) { try open(edit) }
    }

    /// The ids are those of the tokenizer.json that the file was converted from.
    @Test(arguments: ["llama-q8_0", "deepseek-v2-lite-bf16"]) func theTokenizerIsTheOneThatWentIn(name: String) throws {
        let checkpoint = try Checkpoint(path: Fixtures.gguf(name))
        let tokenizer = try Tokenizer(
            tokenizerJSON: try #require(checkpoint.text.tokenizerJSON),
            configJSON: checkpoint.text.tokenizerConfigJSON)
        #expect(tokenizer.beginToken == 0 && tokenizer.endToken == 1)
        for (text, ids) in Self.vectors {
            #expect(try tokenizer.encode(text, special: .parsed, addBegin: true) == ids, "\(text)")
            #expect(tokenizer.decode(ids, skipSpecial: true) == text)
        }
        #expect(checkpoint.text.chatTemplate?.hasPrefix("{{ bos_token }}") == true)
        #expect(checkpoint.warnings.isEmpty)
    }

    /// From the reference implementation, which read that tokenizer.json.
    private static let vectors: [(String, [Int32])] = [
        ("the then", [0, 247, 248, 113]),
        (
            "Ünïcode 12345, in one <think>",
            [
                0, 196, 159, 113, 196, 178, 102, 114, 103, 104, 35, 52, 53, 54, 55, 56, 47, 35, 249, 35, 252, 104, 35,
                2,
            ]
        ),
        (" an error\n\n三 on", [0, 35, 251, 35, 250, 117, 114, 117, 13, 13, 229, 187, 140, 35, 252]),
    ]

    @Test func endsOfTurnsEndAnswers() throws {
        let checkpoint = try open {
            $0["tokenizer.ggml.eot_token_id"] = .uint32(7)
            $0["tokenizer.ggml.eom_token_id"] = .uint32(1)
        }
        #expect(checkpoint.configuration.endTokens == [1, 7])
    }

    /// gpt-oss ends an answer in three ways, of which files name the first.
    @Test func callsOfToolsEndAnswersOfGPTOSS() throws {
        let names = ["<|startoftext|>", "<|return|>", "<|call|>", "<|end|>", "<|endoftext|>"]
        let checkpoint = try open(of: "gpt-oss") {
            guard case .texts(var tokens) = $0["tokenizer.ggml.tokens"] else { return }
            tokens.replaceSubrange(0..<names.count, with: names)
            $0["tokenizer.ggml.tokens"] = .texts(tokens)
            $0["tokenizer.ggml.merges"] = .texts([])
            $0["tokenizer.ggml.pre"] = .text("gpt-4o")
        }
        #expect(checkpoint.configuration.endTokens == [1, 4, 2])
    }

    @Test func samplersAreSetAsTheFileSays() throws {
        let checkpoint = try open {
            $0["general.sampling.temp"] = .float32(0.6)
            $0["general.sampling.top_k"] = .int32(20)
            $0["general.sampling.top_p"] = .float32(0.95)
        }
        #expect(checkpoint.generationDefaults == GenerationDefaults(temperature: 0.6, topP: 0.95, topK: 20))
        #expect(try failure { $0["general.sampling.top_p"] = .float32(1.5) }.key == "general.sampling.top_p")
    }

    @Test func aModelWithoutATokenizerIsSaidToHaveNone() throws {
        let checkpoint = try open { $0["tokenizer.ggml.model"] = .text("none") }
        #expect(checkpoint.text.tokenizerJSON == nil)
        #expect(checkpoint.warnings.count == 1 && checkpoint.warnings[0].contains("no tokenizer"))
    }

    @Test func whatIsNotSupportedIsNamed() throws {
        let kind = try failure { $0["tokenizer.ggml.model"] = .text("rwkv") }
        #expect(kind.code == .unsupportedFamily && kind.found == "\"rwkv\"")
        let pre = try failure { $0["tokenizer.ggml.pre"] = .text("viking") }
        #expect(pre.key == "tokenizer.ggml.pre" && pre.found == "'viking'")
        #expect(try failure { $0["tokenizer.ggml.pre"] = nil }.key == "tokenizer.ggml.pre")
    }

    @Test func listsThatContradictOneAnotherAreNamed() throws {
        let keys: [(String, GGUFImage.Value)] = [
            ("tokens", .texts([])), ("tokens", .texts(Array(repeating: "a", count: 257))), ("tokens", .int32s([1])),
            ("token_type", .int32s([1, 1])), ("token_type", .float32s([1])), ("merges", .texts(["a"])),
            ("bos_token_id", .uint32(300)), ("add_bos_token", .uint32(1)),
        ]
        for (key, value) in keys {
            #expect(try failure { $0["tokenizer.ggml.\(key)"] = value }.key == "tokenizer.ggml.\(key)")
        }
        let text = try failure { $0["tokenizer.ggml.pre"] = .raw(kind: 8, little(UInt64(1)) + [0xFF]) }
        #expect(text.code == .malformedHeader && text.message.contains("UTF-8"))
    }
}

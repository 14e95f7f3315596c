import Container
import JSON

/// The text side of a model in GGUF: the vocabulary as the container keeps tokenizers, the chat template, and how to
/// generate.
struct GGUFText {
    var assets = TextAssets()
    var generationDefaults = GenerationDefaults()
    var warnings: [String] = []

    init(_ model: GGUFModel, vocabularySize: Int) throws(CheckpointError) {
        let file = model.files[0]
        generationDefaults = try Self.generationDefaults(file)
        assets.chatTemplate = file.text("tokenizer.chat_template")
        guard let kind = file.text(Key.model), kind != "none", kind != "no_vocab" else {
            warnings.append("There is no tokenizer: the model can be traced and measured, but not served.")
            return
        }
        let vocabulary = try Self.vocabulary(file, kind: kind, vocabularySize: vocabularySize)
        assets.tokenizerJSON = try vocabulary.tokenizerJSON()
        assets.tokenizerConfigJSON = try vocabulary.configJSON()
        if assets.chatTemplate == nil {
            warnings.append("There is no chat template: the model can complete text, but not hold a conversation.")
        }
    }

    private enum Key {
        static let prefix = "tokenizer.ggml."
        static let model = prefix + "model"
    }

    private static func vocabulary(
        _ file: GGUFFile, kind name: String, vocabularySize: Int
    ) throws(CheckpointError) -> GGUFVocabulary {
        guard let kind = GGUFVocabulary.Kind(rawValue: name) else {
            throw CheckpointError(
                .unsupportedFamily, "tokenizers of this kind aren't supported", path: file.path, key: Key.model,
                expected: "\"gpt2\" or \"llama\"", found: "\"\(name.prefix(80))\"")
        }
        let tokens = try list(file, "tokens") { if case .texts(let texts) = $0 { texts } else { nil } }
        guard (1...vocabularySize).contains(tokens.count) else {
            throw CheckpointError(
                .configuration, "not a token for each row of the embedding", path: file.path,
                key: Key.prefix + "tokens", expected: "1 to \(vocabularySize) tokens", found: "\(tokens.count)")
        }
        var vocabulary = GGUFVocabulary(
            kind: kind, preTokenizer: file.text(Key.prefix + "pre") ?? "", tokens: tokens,
            types: try list(file, "token_type") {
                if case .integers(let numbers) = $0 { numbers } else { nil }
            }, path: file.path)
        vocabulary.merges = try list(file, "merges") {
            if case .texts(let texts) = $0 { texts } else { nil }
        }
        vocabulary.scores = try list(file, "scores") {
            if case .numbers(let numbers) = $0 { numbers } else { nil }
        }
        vocabulary.beginToken = file.integer(Key.prefix + "bos_token_id")
        vocabulary.endToken = file.integer(Key.prefix + "eos_token_id")
        vocabulary.unknownToken = file.integer(Key.prefix + "unknown_token_id")
        // Files that don't say it are as their kind of tokenizer always was.
        let begins = kind == .sentencePiece || ["llama3", "llama-v3", "llama-bpe"].contains(vocabulary.preTokenizer)
        vocabulary.addsBeginToken = try flag(file, "add_bos_token") ?? begins
        vocabulary.addsSpacePrefix = try flag(file, "add_space_prefix") ?? true
        return vocabulary
    }

    private static func list<Element>(
        _ file: GGUFFile, _ key: String, _ read: (GGUFValue) -> [Element]?
    ) throws(CheckpointError) -> [Element] {
        guard let value = file.values[Key.prefix + key] else { return [] }
        guard let list = read(value) else { throw wrongKind(file, key) }
        return list
    }

    private static func flag(_ file: GGUFFile, _ key: String) throws(CheckpointError) -> Bool? {
        guard let value = file.values[Key.prefix + key] else { return nil }
        guard case .bool(let flag) = value else { throw wrongKind(file, key) }
        return flag
    }

    private static func wrongKind(_ file: GGUFFile, _ key: String) -> CheckpointError {
        CheckpointError(
            .configuration, "a value of another type than this key has", path: file.path, key: Key.prefix + key)
    }

    private static func generationDefaults(_ file: GGUFFile) throws(CheckpointError) -> GenerationDefaults {
        let prefix = "general.sampling."
        let members = file.values.filter { $0.key.hasPrefix(prefix) }.map { key, value in
            JSONValue.Member(name: String(key.dropFirst(prefix.count)), value: value.json ?? .null)
        }
        let reader = try ConfigurationReader(.object(members), path: file.path, prefix: prefix)
        // The rest tells samplers apart that nobody here has.
        return GenerationDefaults(
            temperature: try reader.numberIfPresent("temp", orZero: true, atMost: 100),
            topP: try reader.numberIfPresent("top_p", atMost: 1),
            topK: try reader.countIfPresent("top_k", in: 0...1 << 24),
            minP: try reader.numberIfPresent("min_p", orZero: true, atMost: 1),
            repetitionPenalty: try reader.numberIfPresent("penalty_repeat", atMost: 999))
    }
}

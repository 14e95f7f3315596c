import Container

extension GGUFVocabulary {
    private enum Key {
        static let prefix = "tokenizer.ggml."
        static let model = prefix + "model"
    }

    /// Whether a file has a tokenizer.
    static func isThere(in file: GGUFFile) -> Bool {
        file.text(Key.model).map { $0 != "none" && $0 != "no_vocab" } ?? false
    }

    /// What a file says of its tokens.
    ///
    /// - Parameter vocabularySize: the rows of the embedding.
    package init(_ file: GGUFFile, vocabularySize: Int) throws(CheckpointError) {
        let name = file.text(Key.model) ?? ""
        guard let kind = Kind(rawValue: name) else {
            throw CheckpointError(
                .unsupportedFamily, "tokenizers of this kind aren't supported", path: file.path, key: Key.model,
                expected: "\"gpt2\" or \"llama\"", found: "\"\(name.prefix(80))\"")
        }
        let tokens = try Self.list(file, "tokens") { if case .texts(let texts) = $0 { texts } else { nil } }
        guard (1...vocabularySize).contains(tokens.count) else {
            throw CheckpointError(
                .configuration, "not a token for each row of the embedding", path: file.path,
                key: Key.prefix + "tokens", expected: "1 to \(vocabularySize) tokens", found: "\(tokens.count)")
        }
        self.init(
            kind: kind, preTokenizer: file.text(Key.prefix + "pre") ?? "", tokens: tokens,
            types: try Self.list(file, "token_type") {
                if case .integers(let numbers) = $0 { numbers } else { nil }
            }, path: file.path)
        merges = try Self.list(file, "merges") {
            if case .texts(let texts) = $0 { texts } else { nil }
        }
        scores = try Self.list(file, "scores") {
            if case .numbers(let numbers) = $0 { numbers } else { nil }
        }
        beginToken = file.integer(Key.prefix + "bos_token_id")
        endToken = file.integer(Key.prefix + "eos_token_id")
        unknownToken = file.integer(Key.prefix + "unknown_token_id")
        // Files that don't say it are as their kind of tokenizer always was.
        let begins = kind == .sentencePiece || ["llama3", "llama-v3", "llama-bpe"].contains(preTokenizer)
        addsBeginToken = try Self.flag(file, "add_bos_token") ?? begins
        addsSpacePrefix = try Self.flag(file, "add_space_prefix") ?? true
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
}

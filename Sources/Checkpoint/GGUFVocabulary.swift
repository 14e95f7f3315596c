import JSON

/// The vocabulary inside a GGUF file, and the same as the `tokenizer.json` and `tokenizer_config.json` that containers
/// keep. Each field is named after its key.
package struct GGUFVocabulary: Sendable {
    /// `tokenizer.ggml.model`.
    package enum Kind: String, Sendable {
        /// Byte-level byte-pair encoding: `tokens` are written in GPT-2's alphabet of bytes, `merges` say what merges.
        case bytePair = "gpt2"
        /// SentencePiece's byte-pair encoding: `scores` say what merges first.
        case sentencePiece = "llama"
    }

    /// `tokenizer.ggml.token_type`.
    package enum TokenType: Int, Sendable {
        case normal = 1
        case unknown, control, userDefined, unused, byte
    }

    package var kind: Kind
    /// Of the pre-tokenizer, such as `deepseek-llm`; only byte-level vocabularies have one.
    package var preTokenizer: String
    /// By id.
    package var tokens: [String]
    /// As many as `tokens`; empty for a vocabulary whose tokens are all normal.
    package var types: [Int]
    /// `left right`, the earliest first.
    package var merges: [String] = []
    /// As many as `tokens`, for `.sentencePiece`.
    package var scores: [Float] = []
    package var beginToken: Int?
    package var endToken: Int?
    package var unknownToken: Int?
    package var addsBeginToken = false
    /// Whether a text begins with a space of its own; only for `.sentencePiece`.
    package var addsSpacePrefix = true
    /// The file, for errors.
    package var path: String

    package init(kind: Kind, preTokenizer: String, tokens: [String], types: [Int], path: String) {
        self.kind = kind
        self.preTokenizer = preTokenizer
        self.tokens = tokens
        self.types = types
        self.path = path
    }

    /// The vocabulary as `tokenizer.json` (UTF-8).
    ///
    /// - Throws: `CheckpointError` that names the key whose value contradicts the others or isn't supported.
    package func tokenizerJSON() throws(CheckpointError) -> [UInt8] {
        let types = try checkedTypes()
        let added = tokens.indices.compactMap { id in addedToken(id, types[id]) }
        var members: [(String, JSONValue)] = [("version", "1.0"), ("added_tokens", .array(added))]
        switch kind {
        case .bytePair:
            let stages = try bytePairStages()
            members += [
                ("normalizer", stages.normalizer), ("pre_tokenizer", stages.preTokenizer), ("post_processor", .null),
                ("decoder", Self.byteLevel(usesPattern: true)),
                ("model", try model(["ignore_merges": .bool(stages.ignoresMerges)], merges: bytePairMerges())),
            ]
        case .sentencePiece:
            let space: JSONValue = ["type": "Replace", "pattern": ["String": " "], "content": "▁"]
            let prepend: JSONValue = ["type": "Prepend", "prepend": "▁"]
            let decoders: [JSONValue] = [
                ["type": "Replace", "pattern": ["String": "▁"], "content": " "], ["type": "ByteFallback"],
                ["type": "Fuse"],
            ]
            let strip: JSONValue = ["type": "Strip", "content": " ", "start": .integer(1), "stop": .integer(0)]
            members += [
                ("normalizer", .sequence("normalizers", addsSpacePrefix ? [prepend, space] : [space])),
                ("pre_tokenizer", .null), ("post_processor", .null),
                ("decoder", .sequence("decoders", addsSpacePrefix ? decoders + [strip] : decoders)),
                (
                    "model",
                    try model(
                        [
                            "byte_fallback": .bool(true), "fuse_unk": .bool(true),
                            "unk_token": try name(of: unknownToken, "unknown_token_id"),
                        ], merges: sentencePieceMerges(types))
                ),
            ]
        }
        return JSONValue.object(members.map { .init(name: $0.0, value: $0.1) }).encoded()
    }

    /// What `tokenizer_config.json` says beside it.
    package func configJSON() throws(CheckpointError) -> [UInt8] {
        let config: JSONValue = [
            "add_bos_token": .bool(addsBeginToken), "bos_token": try name(of: beginToken, "bos_token_id"),
            "eos_token": try name(of: endToken, "eos_token_id"),
        ]
        return config.encoded()
    }

    func failure(_ key: String, _ message: String, expected: String? = nil, found: String? = nil) -> CheckpointError {
        CheckpointError(
            .configuration, message, path: path, key: "tokenizer.ggml.\(key)", expected: expected, found: found)
    }

    private func checkedTypes() throws(CheckpointError) -> [TokenType] {
        if types.isEmpty { return tokens.map { _ in .normal } }
        guard types.count == tokens.count else {
            throw failure("token_type", "not one for each token", expected: "\(tokens.count)", found: "\(types.count)")
        }
        var checked: [TokenType] = []
        for value in types {
            guard let type = TokenType(rawValue: value) else {
                throw failure("token_type", "a type that isn't known", expected: "1 to 6", found: "\(value)")
            }
            checked.append(type)
        }
        return checked
    }

    /// What stands in `added_tokens`; nil for an ordinary token. Converters fill gaps with tokens named after their ids
    /// and call them the user's, but no text means them.
    private func addedToken(_ id: Int, _ type: TokenType) -> JSONValue? {
        let isSpecial = type == .control || type == .unknown
        guard isSpecial || type == .userDefined, tokens[id] != "[PAD\(id)]", !tokens[id].isEmpty else { return nil }
        return [
            "id": .integer(id), "content": .string(tokens[id]), "single_word": .bool(false), "lstrip": .bool(false),
            "rstrip": .bool(false), "normalized": .bool(false), "special": .bool(isSpecial),
        ]
    }

    private func name(of id: Int?, _ key: String) throws(CheckpointError) -> JSONValue {
        guard let id else { return .null }
        guard tokens.indices.contains(id) else {
            throw failure(key, "no such token", expected: "0 to \(tokens.count - 1)", found: "\(id)")
        }
        return .string(tokens[id])
    }

    /// The first token whose text an earlier one has, byte for byte, and the ids of both.
    var firstRepetition: (token: String, one: Int, other: Int)? {
        var ids: [ArraySlice<UInt8>: Int] = [:]
        for (id, token) in tokens.enumerated() {
            if let other = ids.updateValue(id, forKey: ArraySlice(token.utf8)) { return (token, other, id) }
        }
        return nil
    }

    private func model(_ settings: [String: JSONValue], merges: [JSONValue]) throws(CheckpointError) -> JSONValue {
        if let (token, one, other) = firstRepetition {
            throw failure("tokens", "a token comes twice", found: "'\(token)' as \(one) and \(other)")
        }
        let vocabulary = tokens.enumerated().map { JSONValue.Member(name: $1, value: .integer($0)) }
        let members = settings.sorted { $0.key < $1.key }.map { JSONValue.Member(name: $0.key, value: $0.value) }
        return .object(
            [.init(name: "type", value: "BPE")] + members + [
                .init(name: "vocab", value: .object(vocabulary)), .init(name: "merges", value: .array(merges)),
            ])
    }
}

extension JSONValue {
    /// Several steps of a kind, as tokenizer files write them.
    static func sequence(_ name: String, _ steps: [JSONValue]) -> JSONValue {
        .object([.init(name: "type", value: "Sequence"), .init(name: name, value: .array(steps))])
    }
}

package import JSON
import TokenText

extension TiktokenModel {
    /// The name in `tokenizer_config.json` of the class that comes with Moonlight and Kimi-K2 as a program. What it does
    /// is known here; it isn't run.
    private static let className = "TikTokenTokenizer"
    /// Ids behind the tokens' that the class keeps for special ones.
    private static let reservedCount = 258

    /// The vocabulary with its special tokens, as the reference converter tells it in a GGUF file: the ids behind the
    /// tokens' are special, with the names that the configuration has for them or else names made of their numbers.
    ///
    /// - Parameters:
    ///   - config: what `tokenizer_config.json` holds; nil where there is none.
    ///   - vocabularySize: the rows of the embedding. Ids without a row are left out.
    /// - Returns: also the names that the configuration has for ids without a row.
    /// - Throws: `CheckpointError` that names the key whose value isn't understood or doesn't fit.
    package func vocabulary(
        config: JSONValue?, configPath: String, vocabularySize: Int
    ) throws(CheckpointError) -> (vocabulary: GGUFVocabulary, leftOut: [String]) {
        guard tokens.count <= vocabularySize else {
            throw CheckpointError(
                .malformedVocabulary, "more tokens than the embedding has rows", path: path,
                expected: "at most \(vocabularySize)", found: "\(tokens.count)")
        }
        let named = try specialTokens(config, path: configPath)
        var vocabulary = GGUFVocabulary(
            kind: .bytePair, preTokenizer: "kimi-k2", tokens: tokens.map(ByteAlphabet.text(of:)),
            types: tokens.map { _ in GGUFVocabulary.TokenType.normal.rawValue }, path: path)
        for id in reservedIDs.prefix(vocabularySize - tokens.count) {
            let token = named[id] ?? SpecialToken(name: "<|reserved_token_\(id)|>", isSpecial: true)
            let type: GGUFVocabulary.TokenType = token.isSpecial ? .control : .userDefined
            vocabulary.tokens.append(token.name)
            vocabulary.types.append(type.rawValue)
        }
        if let (name, one, other) = vocabulary.firstRepetition {
            throw Self.failure(
                configPath, "added_tokens_decoder", "a token comes twice", found: "'\(name)' as \(one) and \(other)")
        }
        vocabulary.merges = try merges()
        let leftOut = named.filter { $0.key >= vocabularySize }.sorted { $0.key < $1.key }.map(\.value.name)
        return (vocabulary, leftOut)
    }

    private struct SpecialToken {
        var name: String
        /// Whether it is left out of a text that is shown.
        var isSpecial: Bool
    }

    private var reservedIDs: Range<Int> { tokens.count..<tokens.count + Self.reservedCount }

    /// By id.
    private func specialTokens(
        _ config: JSONValue?, path: String
    ) throws(CheckpointError) -> [Int: SpecialToken] {
        if let name = config?["tokenizer_class"], name != .null, name != .string(Self.className) {
            throw Self.failure(
                path, "tokenizer_class", "how this class cuts text isn't known", expected: "\"\(Self.className)\"",
                found: "\(name)", advice: "A tokenizer.json in the folder is taken instead")
        }
        guard case .object(let members) = config?["added_tokens_decoder"] else {
            throw Self.failure(
                path, "added_tokens_decoder", "it must name the special tokens that belong to a tiktoken.model",
                expected: "an object", found: config?["added_tokens_decoder"].map { "\($0)" } ?? "nothing")
        }
        var named: [Int: SpecialToken] = [:]
        for member in members {
            let key = "added_tokens_decoder.\(member.name)"
            guard let id = Int(member.name), "\(id)" == member.name, reservedIDs.contains(id) else {
                throw Self.failure(
                    path, key, "not the id of a special token",
                    expected: "\(reservedIDs.lowerBound) to \(reservedIDs.upperBound - 1)", found: member.name)
            }
            guard let name = member.value["content"]?.string, !name.isEmpty else {
                throw Self.failure(path, "\(key).content", "not a token's text", found: "\(member.value)")
            }
            for flag in ["lstrip", "rstrip", "single_word"] where member.value[flag] == .bool(true) {
                throw Self.failure(
                    path, "\(key).\(flag)", "the class of this vocabulary doesn't do that", found: "true")
            }
            named[id] = SpecialToken(name: name, isSpecial: member.value["special"] == .bool(true))
        }
        return named
    }

    private static func failure(
        _ path: String, _ key: String, _ message: String, expected: String? = nil, found: String, advice: String? = nil
    ) -> CheckpointError {
        CheckpointError(
            .configuration, message, path: path, key: key, expected: expected, found: found, advice: advice)
    }
}

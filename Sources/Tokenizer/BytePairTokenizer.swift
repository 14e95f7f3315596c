import Synchronization

/// Byte-level byte-pair encoding as `tokenizer.json` describes it: text into ids and back.
///
/// The ids are those of the reference implementation (the `tokenizers` package): added tokens are split out first, then
/// the pre-tokenizer's patterns cut the rest into pieces, and each piece's bytes are merged pair by pair. Immutable
/// after `init`; any number of threads may encode at once.
package final class BytePairTokenizer: Sendable {
    let vocabulary: Vocabulary
    let isSpecial: [Bool]
    let isAdded: [Bool]
    let addedTokens: [[UInt8]: Int32]
    let preTokenizer: PreTokenizer
    let encoder: PieceEncoder
    /// Without the merges whose result is an added token: for `SpecialTokens.literal`.
    let literalEncoder: PieceEncoder
    let hasMergedAddedTokens: Bool
    /// A whole piece that is a token isn't merged but looked up.
    let ignoresMerges: Bool
    /// Added tokens that are found first, and those that the reference finds after normalising, in that order.
    let matchers: [AddedTokenMatcher]
    /// What the post-processor puts before a text.
    let prefix: [Int32]

    /// The id that begins a text, and the one that ends an answer, where `tokenizer_config.json` names them.
    package let beginToken: Int32?
    package let endToken: Int32?

    let workspaces = Mutex<[EncodingWorkspace]>([])

    /// One more than the largest id; there may be ids below it that have no token.
    package var vocabularySize: Int { vocabulary.count }

    /// Throws a `TokenizerError` that names the field for a file that is malformed, or asks for something that isn't
    /// done here.
    package init(tokenizerJSON: [UInt8], configJSON: [UInt8]?) throws(TokenizerError) {
        let file = try TokenizerFile.decode(TokenizerFile.self, from: tokenizerJSON, file: "tokenizer.json")
        let config = try configJSON.map { (json) throws(TokenizerError) in
            try TokenizerFile.decode(TokenizerConfigFile.self, from: json, file: "tokenizer_config.json")
        }
        try file.refuseUnsupported()

        let tokens = try file.tokensByID()
        let vocabulary = Vocabulary(tokens)
        let added = try file.checkedAddedTokens()
        var isSpecial = [Bool](repeating: false, count: vocabulary.count)
        var isAdded = isSpecial
        for token in added {
            isAdded[Int(token.id)] = true
            isSpecial[Int(token.id)] = token.isSpecial
        }

        let merges = try file.mergeTables(vocabulary, added: added)
        let byteTokens = try file.byteTokens(vocabulary)
        encoder = PieceEncoder(byteTokens: byteTokens, merges: merges.all)
        literalEncoder = PieceEncoder(byteTokens: byteTokens, merges: merges.literal ?? merges.all)
        hasMergedAddedTokens = merges.literal != nil
        ignoresMerges = file.model.ignoreMerges ?? false
        preTokenizer = try file.makePreTokenizer()
        matchers = file.addedTokenMatchers(added)
        let addedTokens = Dictionary(added.map { ($0.content, $0.id) }) { first, _ in first }
        self.addedTokens = addedTokens
        self.isSpecial = isSpecial
        self.isAdded = isAdded
        self.vocabulary = vocabulary

        func named(_ token: TokenizerConfigFile.Token?, _ field: String) throws(TokenizerError) -> Int32? {
            guard let token else { return nil }
            guard let id = Self.find(token.content, addedTokens, vocabulary) else {
                throw TokenizerError(
                    .malformed, field: "tokenizer_config.json \(field)",
                    "the token \(token.content) isn't in the vocabulary")
            }
            return id
        }
        beginToken = try named(config?.beginToken, "bos_token")
        endToken = try named(config?.endToken, "eos_token")
        let templated = try file.prefixTokens(vocabularySize: vocabulary.count)
        if templated.isEmpty, config?.addBeginToken == true, let beginToken {
            prefix = [beginToken]
        } else {
            prefix = templated
        }
    }

    /// The texts of all added tokens, special or not.
    package var addedTokenTexts: [String] {
        addedTokens.keys.map { String(decoding: $0, as: UTF8.self) }
    }

    /// The id of a token by its text: an added token's own, or the text that a byte-level token stands for.
    package func id(of token: String) -> Int32? {
        Self.find(token, addedTokens, vocabulary)
    }

    private static func find(_ token: String, _ added: [[UInt8]: Int32], _ vocabulary: Vocabulary) -> Int32? {
        let bytes = Array(token.utf8)
        return added[bytes] ?? vocabulary.id(of: bytes)
    }
}

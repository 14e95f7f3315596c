import Synchronization

/// A tokenizer as `tokenizer.json` describes it, text into ids and back: byte-pair encoding of bytes or of characters,
/// or Unigram.
///
/// The ids are those of the reference implementation (the `tokenizers` package): added tokens are split out first, the
/// rest is normalised, the pre-tokenizer cuts it into pieces, and the model makes ids of each. Immutable after `init`;
/// any number of threads may encode at once.
package final class Tokenizer: Sendable {
    /// Tokens by what pieces are made of: bytes, or characters.
    let vocabulary: Vocabulary
    let isSpecial: [Bool]
    let addedTokens: [[UInt8]: Int32]
    let normalizer: Normalizer
    let preTokenizer: PreTokenizer
    let model: PieceModel
    let decoder: TokenDecoder
    /// Added tokens that are found in a text as it is, and those that are found in the normalised rest.
    let matchers: (raw: AddedTokenMatcher?, normalized: AddedTokenMatcher?)
    /// What the post-processor puts before a text, and after it.
    package let prefix: [Int32]
    let suffix: [Int32]

    /// The id that begins a text, and the one that ends an answer, where `tokenizer_config.json` names them.
    package let beginToken: Int32?
    package let endToken: Int32?

    let workspaces = Mutex<[EncodingWorkspace]>([])

    /// One more than the largest id; there may be ids below it that have no token.
    package var vocabularySize: Int { vocabulary.count }

    /// Throws a `TokenizerError` that names the field for a file that is malformed, or asks for something that isn't
    /// done here.
    package init(tokenizerJSON: [UInt8], configJSON: [UInt8]?) throws(TokenizerError) {
        let file = try TokenizerFile(tokenizerJSON)
        let config = try configJSON.map { (json) throws(TokenizerError) in try TokenizerConfigFile(json) }

        normalizer = try file.normalizer()
        let (preTokenizer, isByteLevel) = try file.preTokenizer()
        self.preTokenizer = preTokenizer
        let vocabulary =
            isByteLevel
            ? Vocabulary(byteLevel: file.tokens) : Vocabulary(texts: file.tokens.map { $0.map { Array($0.utf8) } })
        self.vocabulary = vocabulary
        model = try file.pieceModel(vocabulary, isByteLevel: isByteLevel)
        let added = try file.addedTokens(normalizer)
        let raw = added.filter { !$0.isNormalized }
        let normalized = added.filter(\.isNormalized)
        matchers = (
            raw.isEmpty ? nil : AddedTokenMatcher(raw), normalized.isEmpty ? nil : AddedTokenMatcher(normalized)
        )
        decoder = try file.tokenDecoder(vocabulary, isByteLevel: isByteLevel, normalized: normalized)
        var isSpecial = [Bool](repeating: false, count: vocabulary.count)
        for token in file.addedTokens { isSpecial[Int(token.id)] = token.isSpecial }
        self.isSpecial = isSpecial
        let addedTokens = Dictionary(file.addedTokens.map { ($0.content, $0.id) }) { first, _ in first }
        self.addedTokens = addedTokens

        func named(_ token: TokenizerConfigFile.Token?) throws(TokenizerError) -> Int32? {
            guard let token else { return nil }
            guard let id = Self.find(token.content, addedTokens, vocabulary) else {
                throw token.field.malformed("the token \(token.content) isn't in the vocabulary")
            }
            return id
        }
        beginToken = try named(config?.beginToken)
        endToken = try named(config?.endToken)
        let affixes = try file.affixes()
        suffix = affixes.suffix
        if affixes.prefix.isEmpty, config?.addsBeginToken == true, let beginToken {
            prefix = [beginToken]
        } else {
            prefix = affixes.prefix
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

import JSON

/// `tokenizer.json`, as far as it is read. Decoding checks types only; `BytePairTokenizer` checks what they say.
struct TokenizerFile: Decodable {
    /// The largest published vocabularies (256,000 tokens) take 34 MB and less than half as many values. A decoder
    /// takes a multiple of a value's bytes in memory.
    private static let limits = JSONLimits(byteCount: 48 << 20, valueCount: 4 << 20)

    var addedTokens: [AddedTokenEntry]?
    var normalizer: Normalizer?
    var preTokenizer: PreTokenizerEntry?
    var postProcessor: PostProcessor?
    var decoder: Typed?
    var model: Model

    enum CodingKeys: String, CodingKey {
        case addedTokens = "added_tokens"
        case normalizer
        case preTokenizer = "pre_tokenizer"
        case postProcessor = "post_processor"
        case decoder, model
    }

    struct Typed: Decodable {
        var type: String
    }

    struct AddedTokenEntry: Decodable {
        var id: Int
        var content: String
        var singleWord: Bool?
        var lstrip: Bool?
        var rstrip: Bool?
        var normalized: Bool?
        var special: Bool?

        enum CodingKeys: String, CodingKey {
            case id, content
            case singleWord = "single_word"
            case lstrip, rstrip, normalized, special
        }
    }

    struct Normalizer: Decodable {
        var type: String
        var normalizers: [Normalizer]?
    }

    struct PreTokenizerEntry: Decodable {
        var type: String
        /// Of a `Sequence`.
        var pretokenizers: [PreTokenizerEntry]?
        /// Of a `Split`.
        var pattern: Pattern?
        var behavior: String?
        var invert: Bool?
        /// Of `Digits`.
        var individualDigits: Bool?
        /// Of `ByteLevel`.
        var addPrefixSpace: Bool?
        var useRegex: Bool?

        enum CodingKeys: String, CodingKey {
            case type, pretokenizers, pattern, behavior, invert
            case individualDigits = "individual_digits"
            case addPrefixSpace = "add_prefix_space"
            case useRegex = "use_regex"
        }
    }

    struct Pattern: Decodable {
        var regex: String?
        var string: String?

        enum CodingKeys: String, CodingKey {
            case regex = "Regex"
            case string = "String"
        }
    }

    struct PostProcessor: Decodable {
        var type: String
        /// Of a `Sequence`.
        var processors: [PostProcessor]?
        /// Of `TemplateProcessing`.
        var single: [Part]?
        var specialTokens: [String: SpecialToken]?

        enum CodingKeys: String, CodingKey {
            case type, processors, single
            case specialTokens = "special_tokens"
        }

        struct Part: Decodable {
            var specialToken: Name?
            var sequence: Name?

            enum CodingKeys: String, CodingKey {
                case specialToken = "SpecialToken"
                case sequence = "Sequence"
            }
        }

        struct Name: Decodable {
            var id: String
        }

        struct SpecialToken: Decodable {
            var ids: [Int]
        }
    }

    struct Model: Decodable {
        var type: String?
        var vocabulary: [String: Int]
        var merges: Merges
        var dropout: Double?
        var continuingSubwordPrefix: String?
        var endOfWordSuffix: String?
        var byteFallback: Bool?
        var ignoreMerges: Bool?

        enum CodingKeys: String, CodingKey {
            case type
            case vocabulary = "vocab"
            case merges, dropout
            case continuingSubwordPrefix = "continuing_subword_prefix"
            case endOfWordSuffix = "end_of_word_suffix"
            case byteFallback = "byte_fallback"
            case ignoreMerges = "ignore_merges"
        }
    }

    /// Pairs, written as `["a", "b"]` or, by older tools, as `"a b"`.
    struct Merges: Decodable {
        var pairs: [[String]]

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let pairs = try? container.decode([[String]].self) {
                self.pairs = pairs
            } else {
                pairs = try container.decode([String].self).map { line in
                    line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
                }
            }
        }
    }

    static func decode<Value: Decodable>(
        _ type: Value.Type, from json: [UInt8], file: String
    ) throws(TokenizerError) -> Value {
        do {
            return try StrictJSON.decode(type, from: json, limits: limits)
        } catch {
            throw TokenizerError(error.code == .tooLarge ? .tooLarge : .malformed, field: file, error.description)
        }
    }
}

/// `tokenizer_config.json`, as far as it is read.
struct TokenizerConfigFile: Decodable {
    var addBeginToken: Bool?
    var beginToken: Token?
    var endToken: Token?

    enum CodingKeys: String, CodingKey {
        case addBeginToken = "add_bos_token"
        case beginToken = "bos_token"
        case endToken = "eos_token"
    }

    /// A token's text, alone or in an object that also carries its flags.
    struct Token: Decodable {
        var content: String

        private enum CodingKeys: String, CodingKey {
            case content
        }

        init(from decoder: any Decoder) throws {
            if let content = try? decoder.singleValueContainer().decode(String.self) {
                self.content = content
            } else {
                content = try decoder.container(keyedBy: CodingKeys.self).decode(String.self, forKey: .content)
            }
        }
    }
}

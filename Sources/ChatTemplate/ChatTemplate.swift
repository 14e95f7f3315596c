import JSON

/// Renders conversations as a model's chat template does, byte for byte.
///
/// A checkpoint's template is a Jinja program. It isn't run: the known ones are recognised by their text, and each has
/// a renderer of its own. Tools aren't rendered.
package struct ChatTemplate: Sendable {
    /// The ways in which the DeepSeek-V3.1 family's templates render a conversation.
    package enum Dialect: Sendable, CaseIterable {
        /// System messages stay where they are; every answer has its marker; a generation prompt is always written.
        case plain
        /// The published template's: system messages come first, joined by blank lines; an answer has its marker only
        /// after a user's message, and the generation prompt is written only if nothing came after one.
        case published
    }

    package let dialect: Dialect
    let beginMarker: String
    let endMarker: String

    static let userMarker = "<｜User｜>"
    static let assistantMarker = "<｜Assistant｜>"
    static let thinkMarker = "<think>"
    package static let endThinkMarker = "</think>"

    /// What the renderer may write as `control`. Each must be a token of the vocabulary.
    package var markers: [String] {
        [beginMarker, endMarker, Self.userMarker, Self.assistantMarker, Self.thinkMarker, Self.endThinkMarker]
    }

    package init(dialect: Dialect, beginMarker: String, endMarker: String) {
        self.dialect = dialect
        self.beginMarker = beginMarker
        self.endMarker = endMarker
    }

    /// Recognises a model's template by its text, in which each run of white space counts as one space.
    ///
    /// - Parameter tokenizerConfigJSON: `tokenizer_config.json`, which names the begin and end tokens.
    /// - Throws: `.missing` or `.unknown`, whose message is fit for a client: conversations can't be had with this
    ///   model, while plain completions can.
    package init(recognizing template: String?, tokenizerConfigJSON: [UInt8]?) throws(ChatTemplateError) {
        guard let template else {
            throw ChatTemplateError(
                .missing, "this model has no chat template, so it can't hold a conversation; use /v1/completions")
        }
        let fingerprint = TemplateFingerprint(template)
        guard let dialect = TemplateFingerprint.known.first(where: { $0.fingerprint == fingerprint })?.dialect else {
            throw ChatTemplateError(
                .unknown,
                "this model's chat template isn't one of those that moed renders (\(fingerprint)); use /v1/completions")
        }
        let config = try SpecialTokenNames(tokenizerConfigJSON)
        self.init(dialect: dialect, beginMarker: config.begin.content, endMarker: config.end.content)
    }
}

/// Tells templates apart without keeping their texts, which are their publishers'.
struct TemplateFingerprint: Equatable, CustomStringConvertible {
    /// Of the text with each run of white space made one space.
    let byteCount: Int
    /// FNV-1a.
    let hash: UInt64

    static let known: [(fingerprint: TemplateFingerprint, dialect: ChatTemplate.Dialect)] = [
        // The demonstration model.
        (TemplateFingerprint(byteCount: 633, hash: 0x13EA_1FFA_1F45_6936), .plain),
        // DeepSeek-V3.1, and the same with line breaks and `enable_thinking` as a second name of `thinking`.
        (TemplateFingerprint(byteCount: 2926, hash: 0x7D56_72A7_4D56_AC08), .published),
        (TemplateFingerprint(byteCount: 3154, hash: 0x0900_3D95_FA41_1A67), .published),
    ]

    init(byteCount: Int, hash: UInt64) {
        self.byteCount = byteCount
        self.hash = hash
    }

    init(_ template: String) {
        let words = template.unicodeScalars.split(whereSeparator: \.properties.isWhitespace)
        let normalized = words.map { String($0) }.joined(separator: " ").utf8
        byteCount = normalized.count
        hash = normalized.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    var description: String { "\(byteCount) bytes, fingerprint \(String(hash, radix: 16))" }
}

/// The tokens that `tokenizer_config.json` names for a template's use.
private struct SpecialTokenNames: Decodable {
    var begin: Name
    var end: Name

    enum CodingKeys: String, CodingKey {
        case begin = "bos_token"
        case end = "eos_token"
    }

    init(_ json: [UInt8]?) throws(ChatTemplateError) {
        do {
            self = try StrictJSON.decode(
                Self.self, from: json ?? [], limits: JSONLimits(byteCount: 16 << 20, valueCount: 1 << 20))
        } catch {
            throw ChatTemplateError(
                .malformed, "the chat template needs bos_token and eos_token of tokenizer_config.json: \(error)")
        }
    }

    /// A token's text, alone or in an object that also carries its flags.
    struct Name: Decodable {
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

/// An answer of `/v1/completions`, whole or one event of a stream: both have this shape.
package struct Completion: Codable, Sendable, Equatable {
    package var id: String
    package var object = "text_completion"
    /// Seconds since 1970.
    package var created: Int
    package var model: String
    package var systemFingerprint: String?
    package var choices: [Choice]
    /// Always there in a whole answer; in a stream only in the last event, when asked for.
    package var usage: Usage?

    package init(
        id: String, created: Int, model: String, systemFingerprint: String?, choices: [Choice], usage: Usage? = nil
    ) {
        self.id = id
        self.created = created
        self.model = model
        self.systemFingerprint = systemFingerprint
        self.choices = choices
        self.usage = usage
    }

    private enum CodingKeys: String, CodingKey {
        case id
        case object
        case created
        case model
        case systemFingerprint = "system_fingerprint"
        case choices
        case usage
    }

    package struct Choice: Codable, Sendable, Equatable {
        package var index: Int
        package var text: String
        package var logprobs: CompletionLogprobs?
        package var finishReason: FinishReason?

        package init(
            index: Int, text: String, logprobs: CompletionLogprobs? = nil, finishReason: FinishReason? = nil
        ) {
            self.index = index
            self.text = text
            self.logprobs = logprobs
            self.finishReason = finishReason
        }

        private enum CodingKeys: String, CodingKey {
            case index
            case text
            case logprobs
            case finishReason = "finish_reason"
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(index, forKey: .index)
            try container.encode(text, forKey: .text)
            try container.encode(logprobs, forKey: .logprobs)
            try container.encode(finishReason, forKey: .finishReason)
        }
    }
}

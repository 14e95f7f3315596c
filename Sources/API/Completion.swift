/// An answer of `/v1/completions`, whole or one event of a stream: both have this shape.
package typealias Completion = CompletionEnvelope<TextChoice>

package struct TextChoice: CompletionChoice {
    package static let object = "text_completion"

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

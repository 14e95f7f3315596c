/// One event of a streamed `/v1/chat/completions`.
///
/// The first carries the role, the last but one the finish reason; when usage was asked for, one more follows with
/// empty `choices`.
package typealias ChatCompletionChunk = CompletionEnvelope<ChatChunkChoice>

package struct ChatChunkChoice: CompletionChoice {
    package static let object = "chat.completion.chunk"

    package var index: Int
    package var delta: Delta
    package var logprobs: ChatLogprobs?
    package var finishReason: FinishReason?

    package init(
        index: Int, delta: Delta, logprobs: ChatLogprobs? = nil, finishReason: FinishReason? = nil
    ) {
        self.index = index
        self.delta = delta
        self.logprobs = logprobs
        self.finishReason = finishReason
    }

    private enum CodingKeys: String, CodingKey {
        case index
        case delta
        case logprobs
        case finishReason = "finish_reason"
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(index, forKey: .index)
        try container.encode(delta, forKey: .delta)
        try container.encode(logprobs, forKey: .logprobs)
        try container.encode(finishReason, forKey: .finishReason)
    }

    package struct Delta: Codable, Sendable, Equatable {
        package var role: String?
        package var content: String?
        package var reasoningContent: String?
        package var toolCalls: [ToolCall]?

        package init(
            role: String? = nil, content: String? = nil, reasoningContent: String? = nil, toolCalls: [ToolCall]? = nil
        ) {
            self.role = role
            self.content = content
            self.reasoningContent = reasoningContent
            self.toolCalls = toolCalls
        }

        private enum CodingKeys: String, CodingKey {
            case role
            case content
            case reasoningContent = "reasoning_content"
            case toolCalls = "tool_calls"
        }
    }
}

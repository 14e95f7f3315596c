/// A whole answer of `/v1/chat/completions`.
package typealias ChatCompletion = CompletionEnvelope<ChatChoice>

package struct ChatChoice: CompletionChoice {
    package static let object = "chat.completion"

    package var index: Int
    package var message: Message
    package var logprobs: ChatLogprobs?
    package var finishReason: FinishReason

    package init(index: Int, message: Message, logprobs: ChatLogprobs? = nil, finishReason: FinishReason) {
        self.index = index
        self.message = message
        self.logprobs = logprobs
        self.finishReason = finishReason
    }

    private enum CodingKeys: String, CodingKey {
        case index
        case message
        case logprobs
        case finishReason = "finish_reason"
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(index, forKey: .index)
        try container.encode(message, forKey: .message)
        try container.encode(logprobs, forKey: .logprobs)
        try container.encode(finishReason, forKey: .finishReason)
    }

    package struct Message: Codable, Sendable, Equatable {
        package var role = "assistant"
        package var content: String
        /// What the model thought before its answer; absent when it didn't.
        package var reasoningContent: String?
        /// The functions that the model wants called; absent when there are none.
        package var toolCalls: [ToolCall]?

        package init(content: String, reasoningContent: String? = nil, toolCalls: [ToolCall]? = nil) {
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

        package init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            role = try container.decode(String.self, forKey: .role)
            content = try container.decodeIfPresent(String.self, forKey: .content) ?? ""
            reasoningContent = try container.decodeIfPresent(String.self, forKey: .reasoningContent)
            toolCalls = try container.decodeIfPresent([ToolCall].self, forKey: .toolCalls)
        }

        /// Where calls are all there is, the content is null.
        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(role, forKey: .role)
            try container.encode(content.isEmpty && toolCalls != nil ? nil : content, forKey: .content)
            try container.encodeIfPresent(reasoningContent, forKey: .reasoningContent)
            try container.encodeIfPresent(toolCalls, forKey: .toolCalls)
        }
    }
}

/// Why an answer ended.
package enum FinishReason: String, Codable, Sendable {
    /// The model's end token, or a stop string.
    case stop
    /// The token limit, or the end of the context.
    case length
    /// The model wants functions called.
    case toolCalls = "tool_calls"
}

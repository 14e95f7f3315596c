/// The body of `POST /v1/chat/completions`: OpenAI's fields that moed honours, and DeepSeek's.
///
/// Absent fields take the model's own generation defaults. `tools`, `tool_choice` and `response_format` are read from the
/// JSON itself: in schemas the order of members matters, which no dictionary keeps.
package struct ChatCompletionRequest: Codable, Sendable, Equatable {
    package var model: String?
    package var messages: [Message]
    package var stream: Bool?
    package var streamOptions: StreamOptions?
    package var maxTokens: Int?
    /// OpenAI's newer name of `maxTokens`.
    package var maxCompletionTokens: Int?
    package var temperature: Double?
    package var topP: Double?
    package var topK: Int?
    package var minP: Double?
    package var repetitionPenalty: Double?
    package var presencePenalty: Double?
    package var frequencyPenalty: Double?
    package var seed: Int?
    package var stop: StopStrings?
    package var logprobs: Bool?
    package var topLogprobs: Int?
    /// DeepSeek's switch for an answer that begins with reasoning.
    package var thinking: Thinking?
    /// OpenAI's: none, low, medium or high.
    package var reasoningEffort: String?
    package var parallelToolCalls: Bool?
    package var moed: LossyOptions?

    package init(model: String? = nil, messages: [Message]) {
        self.model = model
        self.messages = messages
    }

    private enum CodingKeys: String, CodingKey {
        case model
        case messages
        case stream
        case streamOptions = "stream_options"
        case maxTokens = "max_tokens"
        case maxCompletionTokens = "max_completion_tokens"
        case temperature
        case topP = "top_p"
        case topK = "top_k"
        case minP = "min_p"
        case repetitionPenalty = "repetition_penalty"
        case presencePenalty = "presence_penalty"
        case frequencyPenalty = "frequency_penalty"
        case seed
        case stop
        case logprobs
        case topLogprobs = "top_logprobs"
        case thinking
        case reasoningEffort = "reasoning_effort"
        case parallelToolCalls = "parallel_tool_calls"
        case moed
    }

    package struct Message: Codable, Sendable, Equatable {
        package var role: Role
        /// Nothing where an assistant's message only calls tools.
        package var content: MessageContent?
        /// The reasoning of an earlier answer, or the beginning of this one's with `prefix`.
        package var reasoningContent: String?
        /// DeepSeek: the answer continues this last assistant message.
        package var prefix: Bool?
        /// The calls that an assistant's message makes.
        package var toolCalls: [ToolCall]?
        /// The call that a tool's message answers.
        package var toolCallID: String?
        package var name: String?

        package init(
            role: Role, content: String, reasoningContent: String? = nil, prefix: Bool? = nil
        ) {
            self.role = role
            self.content = MessageContent(content)
            self.reasoningContent = reasoningContent
            self.prefix = prefix
        }

        private enum CodingKeys: String, CodingKey {
            case role
            case content
            case reasoningContent = "reasoning_content"
            case prefix
            case toolCalls = "tool_calls"
            case toolCallID = "tool_call_id"
            case name
        }
    }

    package enum Role: String, Codable, Sendable {
        case system
        /// OpenAI's newer name of `system`.
        case developer
        case user
        case assistant
        /// What a tool that was called gave.
        case tool
    }

    package struct Thinking: Codable, Sendable, Equatable {
        package var type: Mode

        package init(type: Mode) {
            self.type = type
        }

        package enum Mode: String, Codable, Sendable {
            case enabled
            case disabled
        }
    }
}

package struct StreamOptions: Codable, Sendable, Equatable {
    /// One more chunk, the last, carries the counts.
    package var includeUsage: Bool?

    package init(includeUsage: Bool?) {
        self.includeUsage = includeUsage
    }

    private enum CodingKeys: String, CodingKey {
        case includeUsage = "include_usage"
    }
}

/// The text of a message: a string, null or an array of text parts on the wire.
package struct MessageContent: Codable, Sendable, Equatable {
    package var text: String

    package init(_ text: String) {
        self.text = text
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            text = ""
        } else if let whole = try? container.decode(String.self) {
            text = whole
        } else {
            text = try container.decode([TextPart].self).map(\.text).joined()
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }

    private struct TextPart: Codable {
        var text: String
    }
}

/// What ends an answer: one string or several on the wire.
package struct StopStrings: Codable, Sendable, Equatable {
    package var strings: [String]

    package init(_ strings: [String]) {
        self.strings = strings
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            strings = []
        } else if let one = try? container.decode(String.self) {
            strings = [one]
        } else {
            strings = try container.decode([String].self)
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(strings)
    }
}

/// One message of a conversation.
package struct ChatMessage: Sendable {
    package enum Role: String, Sendable {
        case system
        case user
        case assistant
        case tool
    }

    /// A call of a function by the model.
    package struct ToolCall: Sendable {
        package var id: String
        package var name: String
        /// As the template wants them: a mapping, or its JSON.
        package var arguments: TemplateValue

        package init(id: String, name: String, arguments: TemplateValue) {
            self.id = id
            self.name = name
            self.arguments = arguments
        }
    }

    package var role: Role
    package var content: String
    /// Templates tell a message without content from one whose content is empty.
    package var hasContent = true
    /// The reasoning that came before an assistant's content. What of history's is kept, the template decides; with
    /// `isPrefix` it is continued.
    package var reasoning: String?
    /// Whether the reasoning is also called `thinking`, which gpt-oss' template wants of calls without content.
    package var namesThinking = false
    /// The calls that an assistant's message makes.
    package var toolCalls: [ToolCall] = []
    /// The call that a tool's message answers.
    package var toolCallID: String?
    /// The name of whoever speaks, such as the tool.
    package var name: String?
    /// The answer goes on from this message, which must be the last and the assistant's.
    package var isPrefix: Bool

    package init(role: Role, content: String, reasoning: String? = nil, isPrefix: Bool = false) {
        self.role = role
        self.content = content
        self.reasoning = reasoning
        self.isPrefix = isPrefix
    }

    /// The message as templates have it. A role is one of a few words, so the template may make a marker of it.
    var templateValue: TemplateMapping {
        var value: TemplateMapping = ["role": .own(role.rawValue)]
        value["content"] = hasContent ? .foreign(content) : TemplateValue.none
        value["reasoning_content"] = reasoning.map { .foreign($0) }
        if namesThinking, toolCalls.isEmpty || content.isEmpty { value["thinking"] = reasoning.map { .foreign($0) } }
        value["name"] = name.map { .foreign($0) }
        value["tool_call_id"] = toolCallID.map { .foreign($0) }
        if !toolCalls.isEmpty {
            value["tool_calls"] = .list(
                toolCalls.map { call in
                    .mapping([
                        "id": .foreign(call.id), "type": .own("function"),
                        "function": .mapping(["name": .foreign(call.name), "arguments": call.arguments]),
                    ])
                })
        }
        return value
    }
}

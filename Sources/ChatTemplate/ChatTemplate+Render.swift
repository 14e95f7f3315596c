extension ChatTemplate {
    /// Renders a conversation.
    ///
    /// An assistant message with `isPrefix`, which must be the last, is continued: it is rendered without an end
    /// marker, and no generation prompt follows whatever `addGenerationPrompt` says. After `<think>` (with `thinking`) its
    /// content is the beginning of the reasoning; if it has `reasoning` of its own, that is, and the content, if
    /// there is any, follows `</think>`. Its text is taken as it is; only history is cut at `</think>`.
    package func render(
        _ messages: [ChatMessage], thinking: Bool, addGenerationPrompt: Bool
    ) throws(ChatTemplateError) -> ChatPrompt {
        if let place = messages.dropLast().firstIndex(where: \.isPrefix) {
            throw ChatTemplateError(
                .invalidMessages, "messages[\(place)] has prefix, which only the last message may have")
        }
        if let last = messages.last, last.isPrefix, last.role != .assistant {
            throw ChatTemplateError(
                .invalidMessages, "the last message has prefix, which only an assistant message may have")
        }

        var prompt = ChatPrompt()
        prompt.append(control: beginMarker)
        var followsUser = false
        if dialect == .published {
            let system = messages.filter { $0.role == .system }.map(\.content)
            prompt.append(text: system.joined(separator: "\n\n"))
        }
        for message in messages {
            switch message.role {
            case .system:
                if dialect == .plain { prompt.append(text: message.content) }
            case .user:
                prompt.append(control: Self.userMarker)
                prompt.append(text: message.content)
                followsUser = true
            case .assistant:
                if dialect == .plain || followsUser { prompt.append(control: Self.assistantMarker) }
                if message.isPrefix {
                    appendPrefix(message, thinking: thinking, marked: dialect == .plain || followsUser, to: &prompt)
                    return prompt
                }
                if dialect == .plain || followsUser { prompt.append(control: Self.endThinkMarker) }
                prompt.append(text: Self.withoutReasoning(message.content))
                prompt.append(control: endMarker)
                followsUser = false
            }
        }
        if addGenerationPrompt, dialect == .plain || followsUser {
            prompt.append(control: Self.assistantMarker)
            prompt.append(control: thinking ? Self.thinkMarker : Self.endThinkMarker)
            prompt.startsInsideReasoning = thinking
        }
        return prompt
    }

    private func appendPrefix(_ message: ChatMessage, thinking: Bool, marked: Bool, to prompt: inout ChatPrompt) {
        guard marked, thinking else {
            if marked { prompt.append(control: Self.endThinkMarker) }
            prompt.append(text: message.content)
            return
        }
        prompt.append(control: Self.thinkMarker)
        prompt.startsInsideReasoning = true
        guard let reasoning = message.reasoning else {
            prompt.append(text: message.content)
            return
        }
        prompt.append(text: reasoning)
        if !message.content.isEmpty {
            prompt.append(control: Self.endThinkMarker)
            prompt.append(text: message.content)
            prompt.startsInsideReasoning = false
        }
    }

    /// What follows the first `</think>`. Bytes are compared: as characters, the marker wouldn't be found where a
    /// combining mark follows it.
    private static func withoutReasoning(_ content: String) -> String {
        let marker = endThinkMarker.utf8
        var start = content.utf8.startIndex
        while let found = content.utf8[start...].firstIndex(of: UInt8(ascii: "<")) {
            if content.utf8[found...].starts(with: marker) {
                return String(content[content.utf8.index(found, offsetBy: marker.count)...])
            }
            start = content.utf8.index(after: found)
        }
        return content
    }
}

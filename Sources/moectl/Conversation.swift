package import API

/// What was said so far, and what the next answer is asked for.
package struct Conversation: Sendable {
    package var systemPrompt: String?
    /// nil leaves it to the daemon.
    package var thinks: Bool?
    package private(set) var messages: [ChatCompletionRequest.Message] = []

    package init(systemPrompt: String?, thinks: Bool?) {
        self.systemPrompt = systemPrompt
        self.thinks = thinks
    }

    package mutating func clear() {
        messages = []
    }

    package mutating func appendExchange(prompt: String, answer: String) {
        messages.append(.init(role: .user, content: prompt))
        messages.append(.init(role: .assistant, content: answer))
    }

    package func request(model: String, prompt: String) -> ChatCompletionRequest {
        let system = systemPrompt.map { [ChatCompletionRequest.Message(role: .system, content: $0)] } ?? []
        var request = ChatCompletionRequest(
            model: model, messages: system + messages + [.init(role: .user, content: prompt)])
        request.thinking = thinks.map { .init(type: $0 ? .enabled : .disabled) }
        return request
    }
}

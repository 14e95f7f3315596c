/// One message of a conversation.
package struct ChatMessage: Sendable, Equatable {
    package enum Role: String, Sendable {
        case system
        case user
        case assistant
    }

    package var role: Role
    package var content: String
    /// The reasoning that came before an assistant's content. Of history it is dropped, as the template does; with
    /// `isPrefix` it is continued.
    package var reasoning: String?
    /// The answer goes on from this message, which must be the last and the assistant's.
    package var isPrefix: Bool

    package init(role: Role, content: String, reasoning: String? = nil, isPrefix: Bool = false) {
        self.role = role
        self.content = content
        self.reasoning = reasoning
        self.isPrefix = isPrefix
    }
}

/// What a conversation's line that begins with a slash asks for.
package enum SlashCommand: Equatable, Sendable {
    case help
    case clear
    /// nil shows the system prompt, an empty text removes it.
    case system(String?)
    /// nil shows the state.
    case think(Bool?)
    case exit
    /// With what to say about it.
    case invalid(String)

    package static let summary = """
        /help              this list
        /clear             begin a new conversation
        /system TEXT       give the model a role (/system off removes it)
        /think on|off      let the model think before it answers, or not
        /exit              leave; Ctrl-D does it too

        \"""                begins and ends a message of several lines
        \\ at a line's end  goes on in the next line
        Ctrl-C             stops the answer
        """

    /// nil where the message isn't a command.
    package init?(_ message: String) {
        guard message.hasPrefix("/"), !message.contains("\n") else { return nil }
        let name = message.prefix { !$0.isWhitespace }
        let argument = message.dropFirst(name.count).drop(while: \.isWhitespace).trimmingSuffix(while: \.isWhitespace)
        switch (name, argument) {
        case ("/help", ""), ("/?", ""): self = .help
        case ("/clear", ""): self = .clear
        case ("/exit", ""), ("/quit", ""), ("/bye", ""): self = .exit
        case ("/system", ""): self = .system(nil)
        case ("/system", "off"): self = .system("")
        case ("/system", _): self = .system(String(argument))
        case ("/think", ""): self = .think(nil)
        case ("/think", "on"): self = .think(true)
        case ("/think", "off"): self = .think(false)
        case ("/think", _): self = .invalid("/think takes on or off")
        case ("/help", _), ("/clear", _), ("/exit", _): self = .invalid("\(name) takes nothing after it")
        default: self = .invalid("there is no command \(name); /help lists them")
        }
    }
}

extension StringProtocol {
    fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> SubSequence {
        var end = endIndex
        while end > startIndex, predicate(self[index(before: end)]) { end = index(before: end) }
        return self[..<end]
    }
}

/// Why the daemon can't listen.
package struct ServingError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable {
        /// Another process listens on the socket, or is about to.
        case socketInUse
        /// What stands at the socket's path isn't a socket.
        case notASocket
        /// A name that the system can't take: a path too long, an unknown group.
        case badName
        /// systemd handed over something that can't be served.
        case badInheritance
        /// A call to the system failed.
        case system
    }

    package var code: Code
    /// What happened, where, and what can be done about it.
    package var message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}

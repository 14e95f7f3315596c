import API

/// Where to look for the daemon's socket.
package struct SocketLocation: Sendable, Equatable {
    /// Tried in this order; the first with a listening daemon is used.
    package let candidates: [String]

    /// `--socket` over `MOED_SOCKET` over the user's own daemon's socket, then the system's.
    package init(option: String?, environment: (String) -> String?) {
        if let path = option ?? environment("MOED_SOCKET"), !path.isEmpty {
            candidates = [path]
        } else {
            candidates = SocketPlace.candidates(runtimeDirectory: environment("XDG_RUNTIME_DIR"))
        }
    }
}

/// Why a socket can't be used.
package enum SocketRefusal: Equatable, Sendable {
    case missing
    case nobodyListens
    case notPermitted
    case backlogFull
    case pathTooLong
    case other(String)

    package var reason: String {
        switch self {
        case .missing: "there is no such socket"
        case .nobodyListens: "nobody listens there"
        case .notPermitted: "permission denied"
        case .backlogFull: "too many connections wait there"
        case .pathTooLong: "the path is longer than the 107 bytes that the system allows for a socket"
        case .other(let reason): reason
        }
    }
}

extension ClientError {
    /// No candidate could be connected to.
    package init(refusals: [(path: String, refusal: SocketRefusal)]) {
        let places = refusals.map { "\($0.path) (\($0.refusal.reason))" }.joined(separator: " or ")
        if refusals.contains(where: { $0.refusal == .notPermitted }) {
            self.init(
                .permission, "the daemon's socket can't be opened: \(places)",
                advice: "Members of the group moed may: sudo adduser $USER moed, then log in again.")
        } else if refusals.contains(where: { $0.refusal == .backlogFull }) {
            self.init(.busy, "the daemon is busy: \(places)", advice: "Try again in a moment.")
        } else if refusals.contains(where: { $0.refusal == .pathTooLong }) {
            self.init(.usage, "the socket can't be used: \(places)", advice: "Choose a shorter path.")
        } else {
            self.init(
                .unavailable, "no daemon answers at \(places)",
                advice: """
                    Start the system's with: sudo systemctl start moed.socket
                    or one of your own with: moed serve MODEL.moe
                    and name another socket with --socket or MOED_SOCKET.
                    """)
        }
    }
}

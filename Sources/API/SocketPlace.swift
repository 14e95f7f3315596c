/// Where the daemon listens and its clients look, when nobody says otherwise.
package enum SocketPlace {
    /// The service's socket, which systemd owns.
    package static let system = "/run/moed/moed.sock"

    /// A user's own daemon's socket; nil without a runtime directory.
    package static func user(runtimeDirectory: String?) -> String? {
        guard let runtimeDirectory, runtimeDirectory.hasPrefix("/") else { return nil }
        return "\(runtimeDirectory)/moed/moed.sock"
    }

    /// Where a daemon that was told nothing listens: root's is the system's.
    package static func listening(isRoot: Bool, runtimeDirectory: String?) -> String {
        isRoot ? system : user(runtimeDirectory: runtimeDirectory) ?? system
    }

    /// Where a client that was told nothing looks, in this order.
    package static func candidates(runtimeDirectory: String?) -> [String] {
        [user(runtimeDirectory: runtimeDirectory), system].compactMap(\.self)
    }
}

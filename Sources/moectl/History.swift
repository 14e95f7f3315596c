import Glibc

/// What was typed in earlier conversations: `$XDG_STATE_HOME/moectl/history`, one entry a line, readable by its owner
/// only. A history that can't be read or written is no reason not to talk.
package struct History {
    /// The newest entries that are kept.
    package static let limit = 1000

    package private(set) var entries: [String] = []
    private let path: String?

    /// nil where there is neither `XDG_STATE_HOME` nor `HOME`.
    package static func defaultPath(environment: (String) -> String?) -> String? {
        if let state = environment("XDG_STATE_HOME"), state.hasPrefix("/") { return "\(state)/moectl/history" }
        return environment("HOME").map { "\($0)/.local/state/moectl/history" }
    }

    /// A nil path keeps the history in memory.
    package init(path: String?) {
        self.path = path
        guard let path, let text = Self.contents(of: path) else { return }
        let lines = text.split(separator: "\n").map { Self.unescaped($0) }
        entries = Array(lines.suffix(Self.limit))
        if lines.count > 2 * Self.limit { rewrite(path) }
    }

    /// Empty entries and repetitions of the last one are left out.
    package mutating func append(_ entry: String) {
        guard !entry.allSatisfy(\.isWhitespace), entry != entries.last else { return }
        entries.append(entry)
        if entries.count > Self.limit { entries.removeFirst() }
        guard let path else { return }
        Self.makeParents(of: path)
        Self.write("\(Self.escaped(entry))\n", to: path, flags: O_APPEND)
    }

    private func rewrite(_ path: String) {
        let temporary = "\(path).new"
        if Self.write(entries.map { "\(Self.escaped($0))\n" }.joined(), to: temporary, flags: O_TRUNC) {
            rename(temporary, path)
        }
    }

    package static func escaped(_ entry: String) -> String {
        entry.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
    }

    package static func unescaped(_ line: some StringProtocol) -> String {
        var result = ""
        var isEscape = false
        for character in line {
            if isEscape {
                result.append(character == "n" ? "\n" : character)
                isEscape = false
            } else if character == "\\" {
                isEscape = true
            } else {
                result.append(character)
            }
        }
        return result
    }

    private static func contents(of path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count < 64 << 20 {
            let count = fread(&buffer, 1, buffer.count, file)
            guard count > 0 else { break }
            bytes += buffer.prefix(count)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    @discardableResult
    private static func write(_ text: String, to path: String, flags: Int32) -> Bool {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0o600)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        return Glibc.write(descriptor, bytes, bytes.count) == bytes.count
    }

    private static func makeParents(of path: String) {
        for index in path.indices.dropFirst() where path[index] == "/" {
            mkdir(String(path[..<index]), 0o700)
        }
    }
}

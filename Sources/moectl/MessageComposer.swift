/// Joins typed lines into messages: a line that ends in a backslash goes on in the next, and `"""` opens a message of
/// several lines that the next `"""` closes.
package struct MessageComposer {
    private var lines: [String] = []
    private var isQuoted = false

    private static let quote = #"""""#

    package init() {}

    /// Whether a message has been begun and not ended.
    package var isIncomplete: Bool { isQuoted || !lines.isEmpty }

    /// The message that this line completes, or nil where it goes on.
    package mutating func append(_ line: String) -> String? {
        if isQuoted { return appendQuoted(line) }
        if lines.isEmpty, line.drop(while: { $0 == " " }).hasPrefix(Self.quote) {
            isQuoted = true
            let rest = String(line.drop { $0 == " " }.dropFirst(Self.quote.count))
            return rest.isEmpty ? nil : appendQuoted(rest)
        }
        if line.hasSuffix("\\") {
            lines.append(String(line.dropLast()))
            return nil
        }
        lines.append(line)
        return take()
    }

    /// What is there at the end of the input.
    package mutating func finish() -> String? {
        isIncomplete ? take() : nil
    }

    private mutating func appendQuoted(_ line: String) -> String? {
        guard let end = line.firstRange(of: Self.quote) else {
            lines.append(line)
            return nil
        }
        let before = String(line[..<end.lowerBound])
        if !before.isEmpty { lines.append(before) }
        return take()
    }

    private mutating func take() -> String {
        defer {
            lines = []
            isQuoted = false
        }
        return lines.joined(separator: "\n")
    }
}

/// Why a text isn't JSON that is accepted, or not the JSON that is asked for, and where.
package struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: Sendable {
        /// Not what RFC 8259 and this room's further rules allow.
        case malformed
        /// Longer, or of more values, than the reader takes.
        case tooLarge
        /// JSON, but not of the type that is asked for.
        case mismatch
    }

    package var code: Code
    package var message: String
    /// Bytes from the start of the text. A mismatch has none where `path` names the value.
    package var offset: Int?
    /// The names and indices that lead to a value: `model.merges[3]`.
    package var path: String?
    package var expected: String?
    package var found: String?

    package init(
        _ code: Code, _ message: String, offset: Int? = nil, path: String? = nil, expected: String? = nil,
        found: String? = nil
    ) {
        self.code = code
        self.message = message
        self.offset = offset
        self.path = path
        self.expected = expected
        self.found = found
    }

    /// Without the place, which a caller may want to count from elsewhere.
    package var reason: String {
        message + (expected.map { "; expected \($0)" } ?? "") + (found.map { "; found \($0)" } ?? "")
    }

    package var description: String {
        (path.map { "\($0): " } ?? "") + reason + (offset.map { ", at byte \($0)" } ?? "")
    }

    /// Short and without control characters, because it stood in a stranger's text and is shown to people.
    static func quotable(_ text: String, _ limit: Int = 64) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.prefix(limit).map { $0.properties.generalCategory == .control ? " " : $0 }))
    }
}

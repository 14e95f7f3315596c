import JSON

/// What the syntaxes are read with.
enum CallReading {
    /// A model's own words are short; what is longer than an answer can be is refused.
    private static let limits = JSONLimits(byteCount: 8 << 20)

    /// A JSON object's members, each with the text of its value; nil if `text` isn't one object.
    static func members(of text: some StringProtocol) -> [String: String]? {
        var members: [String: String] = [:]
        let bytes = Array(text.utf8)
        guard var cursor = try? JSONCursor(bytes, limits: limits) else { return nil }
        do {
            try cursor.object { (cursor, name) throws(JSONError) in
                let start = cursor.position
                _ = try cursor.value()
                members[name] = trimmed(String(decoding: bytes[start..<cursor.position], as: UTF8.self))
            }
            try cursor.end()
        } catch {
            return nil
        }
        return members
    }

    /// The text of a JSON object without space around it; nil if it isn't one.
    static func object(_ text: some StringProtocol) -> String? {
        members(of: text) == nil ? nil : trimmed(text)
    }

    static func value(_ text: some StringProtocol) -> JSONValue? {
        try? JSONValue(parsing: Array(text.utf8), limits: limits)
    }

    /// `{"name": …, "arguments": {…}}`; arguments may also be a string that spells an object, and may be left out.
    static func call(_ text: some StringProtocol) -> ToolCall? {
        guard let members = members(of: text), let name = members["name"].flatMap({ value($0)?.string }),
            !name.isEmpty
        else { return nil }
        let spelt = members["arguments"] ?? members["parameters"] ?? "{}"
        guard let arguments = object(spelt) ?? value(spelt)?.string.flatMap({ object($0) }) else { return nil }
        return ToolCall(id: members["id"].flatMap { value($0)?.string }, name: name, arguments: arguments)
    }

    /// Without JSON's white space around it.
    static func trimmed(_ text: some StringProtocol) -> String {
        let bytes = Array(text.utf8)
        func isSpace(_ byte: UInt8) -> Bool { [0x20, 0x0A, 0x0D, 0x09].contains(byte) }
        guard let first = bytes.firstIndex(where: { !isSpace($0) }), let last = bytes.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(decoding: bytes[first...last], as: UTF8.self)
    }

    /// A text as a JSON string.
    static func quoted(_ text: some StringProtocol) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\u{0}"..."\u{1F}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

/// Goes through a text from one marker to the next.
struct MarkerScanner {
    private let bytes: [UInt8]
    private var place = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    var isAtEnd: Bool { place == bytes.count }

    /// Everything up to a marker, which is passed over; nil, and nothing is passed over, if there is none.
    ///
    /// - Parameter hasJSONStrings: a marker within a JSON string doesn't count.
    mutating func text(before marker: String, hasJSONStrings: Bool = false) -> String? {
        let marker = Array(marker.utf8)
        var (isInString, isEscaped) = (false, false)
        for end in bytes[place...].indices {
            let byte = bytes[end]
            if isInString {
                if !isEscaped, byte == UInt8(ascii: "\"") { isInString = false }
                isEscaped = !isEscaped && byte == UInt8(ascii: "\\")
            } else if byte == marker[0], bytes[end...].starts(with: marker) {
                defer { place = end + marker.count }
                return String(decoding: bytes[place..<end], as: UTF8.self)
            } else if byte == UInt8(ascii: "\""), hasJSONStrings {
                isInString = true
            }
        }
        return nil
    }

    /// Everything that is left.
    mutating func rest() -> String {
        defer { place = bytes.count }
        return String(decoding: bytes[place...], as: UTF8.self)
    }
}

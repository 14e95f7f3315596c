/// Reads a stranger's JSON (RFC 8259) piece by piece: strict, bounded, linear in time.
///
/// Refused beyond the standard's grammar, because two readers could disagree about them: bytes that aren't UTF-8, halves
/// of surrogate pairs, and names that come twice in an object. Nesting has a limit, which bounds the stack.
///
/// It stands beside Foundation's decoder because of safetensors headers, which may have 100 MB. The decoder keeps a map
/// of all values: a header of 64 MiB made to hurt it took 1.6 GB of memory and nine seconds. The cursor keeps only the
/// places of an open object's names, for which the worst such header takes 190 MiB and two seconds. Nor does the decoder
/// refuse names that come twice, or tell an integer too large from a fraction, or where a value stood.
package struct JSONCursor {
    let bytes: [UInt8]
    package internal(set) var position = 0
    private let limits: JSONLimits
    private var depth = 0
    private var valueCount = 0

    /// Throws for a text that is too long or isn't UTF-8.
    package init(_ bytes: [UInt8], limits: JSONLimits) throws(JSONError) {
        guard bytes.count <= limits.byteCount else {
            throw JSONError(
                .tooLarge, "the JSON is too long", offset: limits.byteCount,
                expected: "at most \(limits.byteCount) bytes", found: "\(bytes.count) bytes")
        }
        do {
            _ = try UTF8Span(validating: bytes.span)
        } catch {
            throw JSONError(.malformed, "the text isn't UTF-8", offset: error.byteOffsets.lowerBound)
        }
        self.bytes = bytes
        self.limits = limits
    }

    func failure(
        _ message: String, at offset: Int? = nil, expected: String? = nil, found: String? = nil
    ) -> JSONError {
        JSONError(.malformed, message, offset: offset ?? position, expected: expected, found: found)
    }

    // MARK: Values

    /// Nothing but white space may follow.
    package mutating func end() throws(JSONError) {
        skipSpace()
        if position < bytes.count { throw failure("something follows the JSON value") }
    }

    /// Calls `member` with each member's name and the cursor before its value, which it must read.
    package mutating func object(
        _ member: (inout JSONCursor, String) throws(JSONError) -> Void
    ) throws(JSONError) {
        try enter(UInt8(ascii: "{"), "an object")
        var names = JSONNames(tellingEquivalentApart: limits.tellsEquivalentNamesApart)
        if try peek() != UInt8(ascii: "}") {
            repeat {
                _ = try peek()
                let start = position
                let name = try text()
                let reader = self
                guard names.insert(name, at: start, reading: reader.name) else {
                    throw failure("the name \"\(JSONError.quotable(name))\" comes twice in an object", at: start)
                }
                try take(":")
                try member(&self, name)
            } while try takeComma(before: UInt8(ascii: "}"))
        }
        leave()
    }

    /// Calls `element` with the cursor before each element, which it must read.
    package mutating func array(_ element: (inout JSONCursor) throws(JSONError) -> Void) throws(JSONError) {
        try enter(UInt8(ascii: "["), "an array")
        if try peek() != UInt8(ascii: "]") {
            repeat { try element(&self) } while try takeComma(before: UInt8(ascii: "]"))
        }
        leave()
    }

    package mutating func string() throws(JSONError) -> String {
        try begin()
        return try text()
    }

    /// A non-negative integer that fits `Int`, without point and exponent.
    package mutating func count() throws(JSONError) -> Int {
        try begin()
        let start = position
        let isInteger = try scanNumber()
        let digits = String(decoding: bytes[start..<position], as: UTF8.self)
        guard isInteger, let count = Int(digits), count >= 0 else {
            throw failure(
                "not a count", at: start, expected: "an integer from 0 to 2^63 - 1", found: JSONError.quotable(digits))
        }
        return count
    }

    package mutating func value() throws(JSONError) -> JSONValue {
        switch try peek() {
        case UInt8(ascii: "{"):
            var members: [JSONValue.Member] = []
            try object { (cursor, name) throws(JSONError) in
                members.append(.init(name: name, value: try cursor.value()))
            }
            return .object(members)
        case UInt8(ascii: "["):
            var elements: [JSONValue] = []
            try array { (cursor) throws(JSONError) in elements.append(try cursor.value()) }
            return .array(elements)
        case let first:
            try begin()
            switch first {
            case UInt8(ascii: "\""): return .string(try text())
            case UInt8(ascii: "t"): return try word("true", .bool(true))
            case UInt8(ascii: "f"): return try word("false", .bool(false))
            case UInt8(ascii: "n"): return try word("null", .null)
            default: return try number()
            }
        }
    }

    /// Goes over a value, all of it checked, and keeps nothing.
    package mutating func skip() throws(JSONError) {
        switch try peek() {
        case UInt8(ascii: "{"): try object { (cursor, _) throws(JSONError) in try cursor.skip() }
        case UInt8(ascii: "["): try array { (cursor) throws(JSONError) in try cursor.skip() }
        case UInt8(ascii: "\""):
            try begin()
            try skipText()
        default: _ = try value()
        }
    }

    // MARK: Punctuation

    var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func peek() throws(JSONError) -> UInt8 {
        skipSpace()
        guard let next else { throw failure("the JSON ends early") }
        return next
    }

    /// Counts a value that begins here.
    private mutating func begin() throws(JSONError) {
        _ = try peek()
        valueCount += 1
        guard valueCount <= limits.valueCount else {
            throw JSONError(
                .tooLarge, "the JSON has too many values", offset: position,
                expected: "at most \(limits.valueCount) values", found: "more")
        }
    }

    private mutating func enter(_ byte: UInt8, _ name: String) throws(JSONError) {
        try begin()
        guard next == byte else { throw failure("the wrong kind of value", expected: name, found: foundHere) }
        guard depth < limits.depth else {
            throw failure("the JSON is nested too deep", expected: "at most \(limits.depth) levels", found: "one more")
        }
        depth += 1
        position += 1
    }

    private mutating func leave() {
        depth -= 1
        position += 1
    }

    private mutating func takeComma(before close: UInt8) throws(JSONError) -> Bool {
        if try peek() == close { return false }
        try take(",")
        return true
    }

    mutating func take(_ character: Unicode.Scalar) throws(JSONError) {
        guard try peek() == UInt8(ascii: character) else {
            throw failure("malformed JSON", expected: "'\(character)'", found: foundHere)
        }
        position += 1
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let text = "\(word)"
        guard bytes[position...].starts(with: text.utf8) else {
            throw failure("malformed JSON", expected: text, found: foundHere)
        }
        position += text.utf8.count
        return value
    }

    var foundHere: String {
        let rest = bytes[position...].prefix(24)
        return rest.isEmpty ? "the end" : "'\(JSONError.quotable(String(decoding: rest, as: UTF8.self)))'"
    }
}

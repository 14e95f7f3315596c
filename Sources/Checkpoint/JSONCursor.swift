/// Reads JSON (RFC 8259) piece by piece, so that a header of many megabytes needs no tree in memory.
///
/// Strict: no comments, no trailing commas, no NaN, names in an object must differ, and nesting has a limit, which
/// bounds the stack whatever the text.
struct JSONCursor {
    private let bytes: [UInt8]
    private(set) var position: Int
    private var depth = 0
    private let path: String
    /// Where `bytes` begins in the file, for messages.
    private let fileOffset: Int

    static let greatestDepth = 64

    init(_ bytes: [UInt8], path: String, fileOffset: Int = 0) {
        self.bytes = bytes
        self.path = path
        self.fileOffset = fileOffset
        position = 0
    }

    /// Reads a whole text as one value.
    static func value(of bytes: [UInt8], path: String) throws(CheckpointError) -> JSONValue {
        var cursor = JSONCursor(bytes, path: path)
        let value = try cursor.value()
        try cursor.end()
        return value
    }

    func failure(_ message: String, expected: String? = nil, found: String? = nil) -> CheckpointError {
        CheckpointError(
            .malformedJSON, message, path: path, offset: fileOffset + position, expected: expected, found: found)
    }

    /// Nothing but white space may follow.
    mutating func end() throws(CheckpointError) {
        skipSpace()
        if position < bytes.count { throw failure("text after the end of the JSON value") }
    }

    mutating func peek() throws(CheckpointError) -> UInt8 {
        skipSpace()
        guard position < bytes.count else { throw failure("the JSON text ends early") }
        return bytes[position]
    }

    /// Calls `member` with the cursor before each member's value, which it must read.
    mutating func object(
        _ member: (inout JSONCursor, String) throws(CheckpointError) -> Void
    ) throws(CheckpointError) {
        try enter(UInt8(ascii: "{"), "an object")
        var names = Set<String>()
        if try peek() != UInt8(ascii: "}") {
            while true {
                _ = try peek()
                let start = position
                let name = try string()
                guard names.insert(name).inserted else {
                    position = start
                    throw failure("the name '\(name.prefix(200))' occurs twice in one object")
                }
                try take(UInt8(ascii: ":"))
                try member(&self, name)
                if try !takeComma(before: UInt8(ascii: "}")) { break }
            }
        }
        position += 1
        depth -= 1
    }

    /// Calls `element` with the cursor before each element, which it must read.
    mutating func array(_ element: (inout JSONCursor) throws(CheckpointError) -> Void) throws(CheckpointError) {
        try enter(UInt8(ascii: "["), "an array")
        if try peek() != UInt8(ascii: "]") {
            repeat { try element(&self) } while try takeComma(before: UInt8(ascii: "]"))
        }
        position += 1
        depth -= 1
    }

    mutating func value() throws(CheckpointError) -> JSONValue {
        switch try peek() {
        case UInt8(ascii: "{"):
            var members: [JSONValue.Member] = []
            try object { (cursor, name) throws(CheckpointError) in
                members.append(.init(name: name, value: try cursor.value()))
            }
            return .object(members)
        case UInt8(ascii: "["):
            var elements: [JSONValue] = []
            try array { (cursor) throws(CheckpointError) in elements.append(try cursor.value()) }
            return .array(elements)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    /// A non-negative integer that fits `Int`.
    mutating func count() throws(CheckpointError) -> Int {
        _ = try peek()
        let start = position
        let value = try number()
        guard case .integer(let count) = value, count >= 0 else {
            position = start
            throw failure("not a count", expected: "an integer from 0 to 2^63 - 1", found: "\(value)")
        }
        return count
    }

    private mutating func enter(_ byte: UInt8, _ name: String) throws(CheckpointError) {
        guard try peek() == byte else { throw failure("wrong JSON value", expected: name, found: foundHere) }
        guard depth < Self.greatestDepth else { throw failure("JSON nested deeper than \(Self.greatestDepth) levels") }
        depth += 1
        position += 1
    }

    private mutating func takeComma(before close: UInt8) throws(CheckpointError) -> Bool {
        let byte = try peek()
        if byte == close { return false }
        try take(UInt8(ascii: ","))
        return true
    }

    private mutating func take(_ byte: UInt8) throws(CheckpointError) {
        guard try peek() == byte else {
            throw failure(
                "malformed JSON", expected: "'\(Character(UnicodeScalar(byte)))'", found: foundHere)
        }
        position += 1
    }

    private mutating func skipSpace() {
        while position < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[position]) { position += 1 }
    }

    private mutating func word(_ text: StaticString, _ value: JSONValue) throws(CheckpointError) -> JSONValue {
        let word = Array("\(text)".utf8)
        guard bytes.count - position >= word.count, bytes[position..<position + word.count].elementsEqual(word) else {
            throw failure("malformed JSON", expected: "\(text)", found: foundHere)
        }
        position += word.count
        return value
    }

    private var foundHere: String {
        let rest = bytes[position...].prefix(24)
        return rest.isEmpty ? "the end" : "'\(String(decoding: rest, as: UTF8.self))'"
    }
}

// MARK: Numbers and strings

extension JSONCursor {
    private mutating func digits() -> Int {
        let start = position
        while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) {
            position += 1
        }
        return position - start
    }

    private func isNext(_ characters: UInt8...) -> Bool {
        position < bytes.count && characters.contains(bytes[position])
    }

    private mutating func number() throws(CheckpointError) -> JSONValue {
        let start = position
        var isInteger = true
        if isNext(UInt8(ascii: "-")) { position += 1 }
        let first = position
        let integerDigits = digits()
        guard integerDigits == 1 || (integerDigits > 1 && bytes[first] != UInt8(ascii: "0")) else {
            position = start
            throw failure("malformed JSON", expected: "a value", found: foundHere)
        }
        if isNext(UInt8(ascii: ".")) {
            isInteger = false
            position += 1
            guard digits() > 0 else { throw failure("a number without digits after its point") }
        }
        if isNext(UInt8(ascii: "e"), UInt8(ascii: "E")) {
            isInteger = false
            position += 1
            if isNext(UInt8(ascii: "+"), UInt8(ascii: "-")) { position += 1 }
            guard digits() > 0 else { throw failure("a number without digits in its exponent") }
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger, let value = Int(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else {
            position = start
            throw failure("a number that is out of range", found: "'\(text.prefix(40))'")
        }
        return .number(value)
    }

    mutating func string() throws(CheckpointError) -> String {
        try take(UInt8(ascii: "\""))
        let start = position
        var unescaped: [UInt8]?
        while position < bytes.count {
            let byte = bytes[position]
            switch byte {
            case UInt8(ascii: "\""):
                let text =
                    unescaped.map { String(validating: $0, as: UTF8.self) }
                    ?? String(validating: bytes[start..<position], as: UTF8.self)
                guard let text else { throw failure("a string that isn't UTF-8") }
                position += 1
                return text
            case UInt8(ascii: "\\"):
                var text = unescaped ?? Array(bytes[start..<position])
                try escape(into: &text)
                unescaped = text
            case 0..<0x20:
                throw failure("a control character in a string")
            default:
                unescaped?.append(byte)
                position += 1
            }
        }
        throw failure("a string without an end")
    }

    private mutating func escape(into text: inout [UInt8]) throws(CheckpointError) {
        position += 1
        guard position < bytes.count else { throw failure("a string without an end") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var value = try hexadecimal()
            if (0xD800..<0xDC00).contains(value) {
                guard isNext(UInt8(ascii: "\\")) else { throw failure("half of a surrogate pair") }
                position += 1
                guard isNext(UInt8(ascii: "u")) else { throw failure("half of a surrogate pair") }
                position += 1
                let low = try hexadecimal()
                guard (0xDC00..<0xE000).contains(low) else { throw failure("half of a surrogate pair") }
                value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = UnicodeScalar(value) else { throw failure("half of a surrogate pair") }
            text.append(contentsOf: Array(String(Character(scalar)).utf8))
        default: throw failure("an unknown escape in a string")
        }
    }

    private mutating func hexadecimal() throws(CheckpointError) -> UInt32 {
        guard bytes.count - position >= 4,
            bytes[position..<position + 4].allSatisfy({ Character(UnicodeScalar($0)).isHexDigit && $0 < 0x80 }),
            let value = UInt32(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
        else { throw failure("an escape without four hexadecimal digits") }
        position += 4
        return value
    }
}

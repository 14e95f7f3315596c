// Numbers and strings.

extension JSONCursor {
    /// Longer ones say nothing more, and only take time to convert.
    private static let longestNumber = 1000

    mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        let isInteger = try scanNumber()
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger, let value = Int(text) { return .integer(value) }
        guard let value = Double(text) else {
            throw failure("a number that can't be read", at: start, found: JSONError.quotable(text))
        }
        // Beyond 2⁵³ a fraction may have been rounded away.
        guard value.magnitude < 0x1p53, let integer = Int(exactly: value) else { return .number(value) }
        return .integer(integer)
    }

    /// Goes over a number; whether it has neither point nor exponent.
    mutating func scanNumber() throws(JSONError) -> Bool {
        let start = position
        var isInteger = true
        skip("-")
        guard let first = next, digits.contains(first) else {
            throw failure("malformed JSON", at: start, expected: "a value", found: foundHere)
        }
        if first == UInt8(ascii: "0") { position += 1 } else { try skipDigits() }
        if skip(".") {
            isInteger = false
            try skipDigits()
        }
        if skip("e") || skip("E") {
            isInteger = false
            if !skip("+") { skip("-") }
            try skipDigits()
        }
        guard position - start <= Self.longestNumber else {
            throw failure(
                "a number that is too long", at: start, expected: "at most \(Self.longestNumber) characters",
                found: "\(position - start)")
        }
        return isInteger
    }

    private var digits: ClosedRange<UInt8> { UInt8(ascii: "0")...UInt8(ascii: "9") }

    private mutating func skipDigits() throws(JSONError) {
        let start = position
        while let byte = next, digits.contains(byte) { position += 1 }
        guard position > start else { throw failure("malformed JSON", expected: "a digit", found: foundHere) }
    }

    @discardableResult
    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    // MARK: Strings

    /// A string's characters, its escapes resolved.
    mutating func text() throws(JSONError) -> String {
        var characters: [UInt8] = []
        let whole = try scanText { characters += $0 }
        return String(decoding: whole ?? characters[...], as: UTF8.self)
    }

    mutating func skipText() throws(JSONError) {
        _ = try scanText { _ in }
    }

    /// The name that stands at a place where one was read before.
    func name(at place: Int) -> String {
        var reader = self
        reader.position = place
        return (try? reader.text()) ?? ""
    }

    /// Goes over a string. One without escapes is returned; another is given to `collect` in pieces.
    private mutating func scanText(_ collect: (ArraySlice<UInt8>) -> Void) throws(JSONError) -> ArraySlice<UInt8>? {
        try take("\"")
        let start = position
        var piece = start
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                let last = bytes[piece..<position]
                position += 1
                if piece == start { return last }
                collect(last)
                return nil
            case UInt8(ascii: "\\"):
                collect(bytes[piece..<position])
                position += 1
                let scalar = try escape()
                if let character = UTF8.encode(scalar) { collect(ArraySlice(character)) }
                piece = position
            case 0..<0x20: throw failure("a control character stands unescaped in a string")
            default: position += 1
            }
        }
        throw failure("a string doesn't end")
    }

    /// What follows a backslash.
    private mutating func escape() throws(JSONError) -> Unicode.Scalar {
        guard let byte = next else { throw failure("a string doesn't end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try escapedScalar()
        default: throw failure("a string has an unknown escape", at: position - 1)
        }
    }

    /// One unit, or two that are a surrogate pair.
    private mutating func escapedScalar() throws(JSONError) -> Unicode.Scalar {
        let start = position - 2
        let first = try unit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard UTF16.isLeadSurrogate(first), skip("\\"), skip("u") else {
            throw failure("a string has half of a surrogate pair", at: start)
        }
        let second = try unit()
        guard UTF16.isTrailSurrogate(second) else {
            throw failure("a string has half of a surrogate pair", at: start)
        }
        return UTF16.decode(UTF16.EncodedScalar([first, second]))
    }

    private mutating func unit() throws(JSONError) -> UInt16 {
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = next, byte < 0x80, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw failure("malformed JSON", expected: "four hexadecimal digits after \\u", found: foundHere)
            }
            value = value << 4 | UInt16(digit)
            position += 1
        }
        return value
    }
}

/// What a template's text consists of.
enum JinjaToken: Equatable {
    case text(String)
    /// `{%`
    case blockBegin
    case blockEnd
    /// `{{`
    case outputBegin
    case outputEnd
    case name(String)
    case string(String)
    case integer(Int)
    case number(Double)
    case symbol(String)
}

/// Cuts a template into tokens, with the white space around tags as Hugging Face's environment has it: `trim_blocks`
/// and `lstrip_blocks`, so a tag alone on its line leaves no line.
struct JinjaLexer {
    struct Token {
        var token: JinjaToken
        var line: Int
    }

    private let source: [Unicode.Scalar]
    private var place = 0
    private var line = 1
    /// Whether what was consumed last ended a line.
    private var isLineStart = true
    private var tokens: [Token] = []

    static func tokens(of template: String) throws(JinjaError) -> [Token] {
        var lexer = JinjaLexer(template)
        try lexer.run()
        return lexer.tokens
    }

    private init(_ template: String) {
        var scalars: [Unicode.Scalar] = []
        for scalar in template.unicodeScalars {
            if scalar == "\n", scalars.last == "\r" { scalars.removeLast() }
            scalars.append(scalar)
        }
        scalars = scalars.map { $0 == "\r" ? "\n" : $0 }
        if scalars.last == "\n" { scalars.removeLast() }
        source = scalars
    }

    private enum Opening { case block, output, comment }

    private mutating func run() throws(JinjaError) {
        while place < source.count {
            guard let (start, opening) = nextOpening() else {
                append(.text(Self.string(source[place...])))
                return
            }
            let sign = start + 2 < source.count ? source[start + 2] : " "
            appendText(upTo: start, opening, sign)
            advance(to: start + (sign == "-" || sign == "+" ? 3 : 2))
            switch opening {
            case .comment: try skipComment()
            case .output: try readTag(begin: .outputBegin, end: .outputEnd)
            case .block:
                if try !readRaw() { try readTag(begin: .blockBegin, end: .blockEnd) }
            }
        }
    }

    private func nextOpening() -> (Int, Opening)? {
        var index = place
        while index + 1 < source.count {
            if source[index] == "{" {
                switch source[index + 1] {
                case "%": return (index, .block)
                case "{": return (index, .output)
                case "#": return (index, .comment)
                default: break
                }
            }
            index += 1
        }
        return nil
    }

    private mutating func appendText(upTo start: Int, _ opening: Opening, _ sign: Unicode.Scalar) {
        var end = start
        if sign == "-" {
            while end > place, Self.isSpace(source[end - 1]) { end -= 1 }
        } else if sign != "+", opening != .output {
            let lineStart = source[place..<start].lastIndex(of: "\n").map { $0 + 1 }
            if let first = lineStart ?? (isLineStart ? place : nil), source[first..<start].allSatisfy(Self.isSpace) {
                end = first
            }
        }
        if end > place { append(.text(Self.string(source[place..<end]))) }
    }

    private mutating func skipComment() throws(JinjaError) {
        guard let end = find("#}", from: place) else { throw failure("a comment has no end") }
        let sign = end > place ? source[end - 1] : " "
        advance(to: end + 2)
        trimAfterTag(sign)
    }

    /// `{% raw %}…{% endraw %}` if it stands here.
    private mutating func readRaw() throws(JinjaError) -> Bool {
        guard let content = endOfTag("raw", from: place) else { return false }
        var search = content.end
        while let open = find("{%", from: search) {
            let sign = open + 2 < source.count ? source[open + 2] : " "
            if let close = endOfTag("endraw", from: open + (sign == "-" || sign == "+" ? 3 : 2)) {
                advance(to: content.end)
                trimAfterTag(content.sign)
                appendText(upTo: max(open, place), .block, sign)
                advance(to: close.end)
                trimAfterTag(close.sign)
                return true
            }
            search = open + 2
        }
        throw failure("{% raw %} has no {% endraw %}")
    }

    /// Where the tag ends if it consists of this one word.
    private func endOfTag(_ word: String, from start: Int) -> (end: Int, sign: Unicode.Scalar)? {
        var index = start
        while index < source.count, Self.isSpace(source[index]) { index += 1 }
        guard source[index...].starts(with: word.unicodeScalars) else { return nil }
        index += word.unicodeScalars.count
        while index < source.count, Self.isSpace(source[index]) { index += 1 }
        var sign: Unicode.Scalar = " "
        if index < source.count, source[index] == "-" || source[index] == "+" {
            sign = source[index]
            index += 1
        }
        guard source[index...].starts(with: "%}".unicodeScalars) else { return nil }
        return (index + 2, sign)
    }

    private mutating func readTag(begin: JinjaToken, end: JinjaToken) throws(JinjaError) {
        append(begin)
        let isBlock = begin == .blockBegin
        let closing: [Unicode.Scalar] = isBlock ? ["%", "}"] : ["}", "}"]
        var open: [String] = []
        while true {
            skipSpace()
            guard place < source.count else { throw failure("a tag has no end") }
            if open.isEmpty {
                let sign = source[place]
                if source[place...].starts(with: closing) {
                    append(end)
                    advance(to: place + 2)
                    if isBlock { trimAfterTag(" ") }
                    return
                }
                if sign == "-" || (sign == "+" && isBlock), source[(place + 1)...].starts(with: closing) {
                    append(end)
                    advance(to: place + 3)
                    trimAfterTag(sign)
                    return
                }
            }
            try readToken(&open)
        }
    }

    private mutating func readToken(_ open: inout [String]) throws(JinjaError) {
        let first = source[place]
        if first == "_" || first.properties.isXIDStart {
            var end = place + 1
            while end < source.count, source[end].properties.isXIDContinue { end += 1 }
            append(.name(Self.string(source[place..<end])))
            advance(to: end)
        } else if "0"..."9" ~= first {
            try readNumber()
        } else if first == "'" || first == "\"" {
            try readString(quote: first)
        } else {
            let symbols = [
                "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">",
                "<", "=", ".", ":", "|", ",",
            ]
            guard let symbol = symbols.first(where: { source[place...].starts(with: $0.unicodeScalars) }) else {
                throw failure("\"\(first)\" has no meaning here")
            }
            switch symbol {
            case "(", "[", "{": open.append(symbol == "(" ? ")" : symbol == "[" ? "]" : "}")
            case ")", "]", "}":
                guard open.popLast() == symbol else { throw failure("\"\(symbol)\" closes nothing") }
            default: break
            }
            append(.symbol(symbol))
            advance(to: place + symbol.unicodeScalars.count)
        }
    }

    private mutating func readNumber() throws(JinjaError) {
        func digits(from start: Int) -> Int {
            var end = start
            while end < source.count, "0"..."9" ~= source[end] || source[end] == "_" { end += 1 }
            return end
        }
        var end = digits(from: place)
        var isInteger = true
        if end + 1 < source.count, source[end] == ".", "0"..."9" ~= source[end + 1] {
            isInteger = false
            end = digits(from: end + 1)
        }
        if end < source.count, source[end] == "e" || source[end] == "E" {
            let sign = end + 1 < source.count && (source[end + 1] == "+" || source[end + 1] == "-") ? 1 : 0
            if digits(from: end + 1 + sign) > end + 1 + sign {
                isInteger = false
                end = digits(from: end + 1 + sign)
            }
        }
        let text = Self.string(source[place..<end].filter { $0 != "_" }[...])
        if isInteger, let value = Int(text) {
            append(.integer(value))
        } else if !isInteger, let value = Double(text) {
            append(.number(value))
        } else {
            throw failure("\(text) is too large")
        }
        advance(to: end)
    }

    private mutating func readString(quote: Unicode.Scalar) throws(JinjaError) {
        var text = String.UnicodeScalarView()
        var index = place + 1
        while true {
            guard index < source.count else { throw failure("a string has no end") }
            let scalar = source[index]
            index += 1
            if scalar == quote { break }
            guard scalar == "\\" else {
                text.append(scalar)
                continue
            }
            guard index < source.count else { throw failure("a string has no end") }
            index = try readEscape(at: index, into: &text)
        }
        append(.string(String(text)))
        advance(to: index)
    }

    /// Python's escapes; a backslash before anything else stays.
    private func readEscape(at start: Int, into text: inout String.UnicodeScalarView) throws(JinjaError) -> Int {
        let simple: [Unicode.Scalar: Unicode.Scalar] = [
            "n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", "\"": "\"", "a": "\u{7}", "b": "\u{8}", "f": "\u{C}",
            "v": "\u{B}",
        ]
        let kind = source[start]
        if let scalar = simple[kind] {
            text.append(scalar)
            return start + 1
        }
        if kind == "\n" { return start + 1 }
        if let count = ["x": 2, "u": 4, "U": 8][kind] {
            let end = start + 1 + count
            guard end <= source.count, let value = UInt32(Self.string(source[start + 1..<end]), radix: 16),
                let scalar = Unicode.Scalar(value)
            else { throw failure("\\\(kind) needs \(count) hexadecimal digits of a character") }
            text.append(scalar)
            return end
        }
        if "0"..."7" ~= kind {
            var end = start
            while end < min(start + 3, source.count), "0"..."7" ~= source[end] { end += 1 }
            guard let value = UInt32(Self.string(source[start..<end]), radix: 8), let scalar = Unicode.Scalar(value)
            else {
                throw failure("\\\(kind) isn't a character")
            }
            text.append(scalar)
            return end
        }
        text.append("\\")
        text.append(kind)
        return start + 1
    }

    private mutating func trimAfterTag(_ sign: Unicode.Scalar) {
        if sign == "-" {
            skipSpace()
        } else if sign != "+", place < source.count, source[place] == "\n" {
            advance(to: place + 1)
        }
    }

    private mutating func skipSpace() {
        var end = place
        while end < source.count, Self.isSpace(source[end]) { end += 1 }
        advance(to: end)
    }

    private func find(_ text: String, from start: Int) -> Int? {
        var index = start
        while index < source.count {
            if source[index...].starts(with: text.unicodeScalars) { return index }
            index += 1
        }
        return nil
    }

    private mutating func append(_ token: JinjaToken) {
        tokens.append(Token(token: token, line: line))
    }

    private mutating func advance(to end: Int) {
        guard end > place else { return }
        line += source[place..<end].count { $0 == "\n" }
        isLineStart = source[end - 1] == "\n"
        place = end
    }

    private func failure(_ message: String) -> JinjaError { JinjaError(.syntax, message, line: line) }

    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool { MarkedText.isSpace(scalar.value) }

    private static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }
}

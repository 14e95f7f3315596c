/// An added token: text that is one token wherever it occurs, found before the patterns see the text.
struct AddedToken: Sendable {
    let id: Int32
    var content: [UInt8]
    let isSpecial: Bool
    /// Only between characters that aren't of a word.
    let isSingleWord: Bool
    /// Takes the white space before it along.
    let stripsLeft: Bool
    /// Takes the white space after it along.
    let stripsRight: Bool
    /// Is looked for in the normalised text.
    let isNormalized: Bool
}

/// Finds added tokens in a text: the leftmost, and the longest of those that begin there.
struct AddedTokenMatcher: Sendable {
    static let longestContent = 256
    static let largestCount = 1 << 14

    struct Section: Sendable {
        let range: Range<Int>
        /// nil for text between added tokens.
        let token: Int32?
    }

    private let tokens: [AddedToken]
    /// Children by (node, byte). The root is 0.
    private var children: [Int: Int] = [:]
    /// The index in `tokens` of the token that ends at a node; −1 for none.
    private var ending: [Int] = [-1]
    private var isFirstByte = [Bool](repeating: false, count: 256)

    init(_ tokens: [AddedToken]) {
        self.tokens = tokens
        for (index, token) in tokens.enumerated() {
            guard let first = token.content.first else { continue }
            isFirstByte[Int(first)] = true
            var node = 0
            for byte in token.content {
                let key = node << 8 | Int(byte)
                if let child = children[key] {
                    node = child
                } else {
                    node = ending.count
                    children[key] = node
                    ending.append(-1)
                }
            }
            ending[node] = index
        }
    }

    /// Appends the sections of `text[range]` to `sections`. With `specialAsText`, special tokens are found but left as
    /// text, so that no shorter token inside them is found either (as in the reference).
    func split(
        _ text: UnsafeBufferPointer<UInt8>, in range: Range<Int>, specialAsText: Bool, into sections: inout [Section]
    ) {
        var textStart = range.lowerBound
        var position = range.lowerBound
        while position < range.upperBound {
            guard unsafe isFirstByte[Int(text[position])],
                let token = unsafe longestMatch(text, at: position, limit: range.upperBound)
            else {
                position += 1
                continue
            }
            let match = position..<position + token.content.count
            position = match.upperBound
            if token.isSpecial, specialAsText { continue }
            if token.isSingleWord, unsafe touchesWord(text, match, in: range) { continue }
            var start = match.lowerBound
            var end = match.upperBound
            if token.stripsLeft {
                while start > textStart, let scalar = unsafe UTF8Scan.scalar(in: text, before: start, from: textStart),
                    scalar.properties.isWhitespace
                {
                    start -= UTF8.width(scalar)
                }
            }
            if token.stripsRight {
                while let scalar = unsafe UTF8Scan.scalar(in: text, at: end, limit: range.upperBound),
                    scalar.properties.isWhitespace
                {
                    end += UTF8.width(scalar)
                }
            }
            if textStart < start { sections.append(Section(range: textStart..<start, token: nil)) }
            sections.append(Section(range: start..<end, token: token.id))
            textStart = end
        }
        if textStart < range.upperBound {
            sections.append(Section(range: textStart..<range.upperBound, token: nil))
        }
    }

    private func longestMatch(_ text: UnsafeBufferPointer<UInt8>, at start: Int, limit: Int) -> AddedToken? {
        var node = 0
        var found: Int?
        var position = start
        while position < limit, let child = unsafe children[node << 8 | Int(text[position])] {
            node = child
            position += 1
            if ending[node] >= 0 { found = ending[node] }
        }
        return found.map { tokens[$0] }
    }

    private func touchesWord(_ text: UnsafeBufferPointer<UInt8>, _ match: Range<Int>, in range: Range<Int>) -> Bool {
        let before = unsafe UTF8Scan.scalar(in: text, before: match.lowerBound, from: range.lowerBound)
        let after = unsafe UTF8Scan.scalar(in: text, at: match.upperBound, limit: range.upperBound)
        return [before, after].contains { $0.map(Self.isWordCharacter) ?? false }
    }

    /// `\w` of Unicode Technical Standard 18, annex C.
    private static func isWordCharacter(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
        switch properties.generalCategory {
        case .decimalNumber, .connectorPunctuation, .nonspacingMark, .spacingMark, .enclosingMark: return true
        default: return properties.isAlphabetic || properties.isJoinControl
        }
    }
}

/// Single code points of valid UTF-8.
private enum UTF8Scan {
    static func scalar(in text: UnsafeBufferPointer<UInt8>, at index: Int, limit: Int) -> Unicode.Scalar? {
        guard index < limit else { return nil }
        let end = min(limit, index + 4)
        return unsafe String(decoding: text[index..<end], as: UTF8.self).unicodeScalars.first
    }

    static func scalar(in text: UnsafeBufferPointer<UInt8>, before index: Int, from lowest: Int) -> Unicode.Scalar? {
        var start = index - 1
        while start > lowest, unsafe text[start] & 0xC0 == 0x80 { start -= 1 }
        return start < lowest ? nil : unsafe scalar(in: text, at: start, limit: index)
    }
}

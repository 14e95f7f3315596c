/// Ids into text, one at a time, without ever giving out part of a character.
///
/// What `append` and `finish` return, put together, is what `Tokenizer.decode` gives for all ids at once. Each
/// id costs its own bytes only.
package struct StreamingDetokenizer: Sendable {
    private let tokenizer: Tokenizer
    private let skipSpecial: Bool
    private let shown: Set<Int32>
    /// Bytes that aren't characters yet. Of a byte-level vocabulary the beginning of a UTF-8 sequence, at most three;
    /// of another the tokens of single bytes that came last, because what they mean together is known when another
    /// token follows.
    private var pending: [UInt8] = []
    /// Whether a token came already.
    private var hasBegun = false
    /// How many characters are still to be taken from where the text begins.
    private var strippedCount = 0

    /// - Parameter shown: special tokens that aren't skipped all the same.
    /// - Parameter continuesText: the ids go on from a text, and so keep a space at their beginning that is taken from
    ///   the beginning of a text.
    package init(
        _ tokenizer: Tokenizer, skipSpecial: Bool, shown: Set<Int32> = [], continuesText: Bool = false
    ) {
        self.tokenizer = tokenizer
        self.skipSpecial = skipSpecial
        self.shown = shown
        hasBegun = continuesText
        if !continuesText, case .characters(.stripped(_, let count)) = tokenizer.decoder.form { strippedCount = count }
    }

    /// The characters that this id completes, which may be none.
    package mutating func append(_ id: Int32) -> String {
        if skipSpecial, tokenizer.isSpecial(id), !shown.contains(id) { return "" }
        guard let token = tokenizer.decoder.texts[id] else { return "" }
        switch tokenizer.decoder.form {
        case .bytes: return append(bytes: token)
        case .characters(let beginning): return append(characters: token, id, beginning)
        }
    }

    private mutating func append(bytes token: ArraySlice<UInt8>) -> String {
        pending += token
        let complete = pending.count - Self.unfinishedCount(pending)
        guard complete > 0 else { return "" }
        let text = String(decoding: pending[..<complete], as: UTF8.self)
        pending.removeFirst(complete)
        return text
    }

    private mutating func append(
        characters token: ArraySlice<UInt8>, _ id: Int32, _ beginning: TokenDecoder.Beginning
    ) -> String {
        if tokenizer.decoder.standsForByte(id) {
            hasBegun = true
            pending += token
            return ""
        }
        let before = takePending()
        switch beginning {
        case .kept: return before + String(decoding: token, as: UTF8.self)
        case .stripped(let content, _):
            // Nothing to take any more is the state of all but the first token.
            guard strippedCount > 0 else { return before + String(decoding: token, as: UTF8.self) }
            return strip(before, content) + strip(String(decoding: token, as: UTF8.self), content)
        case .withoutMarks(let mark):
            defer { hasBegun = true }
            let text = hasBegun ? token : (tokenizer.vocabulary[id] ?? token).replacing(mark, with: [])
            return before + String(decoding: text, as: UTF8.self)
        }
    }

    /// What is left when no more ids come: U+FFFD for a sequence that never ended.
    package mutating func finish() -> String {
        guard case .characters(let beginning) = tokenizer.decoder.form else {
            defer { pending.removeAll() }
            return String(decoding: pending, as: UTF8.self)
        }
        let text = takePending()
        if case .stripped(let content, _) = beginning { return strip(text, content) }
        return text
    }

    /// A run of single bytes: text, or one U+FFFD for each of them.
    private mutating func takePending() -> String {
        if pending.isEmpty { return "" }
        defer { pending.removeAll(keepingCapacity: true) }
        return String(validating: pending, as: UTF8.self) ?? String(repeating: "\u{FFFD}", count: pending.count)
    }

    private mutating func strip(_ text: String, _ content: [UInt8]) -> String {
        var rest = text.utf8[...]
        while strippedCount > 0, !rest.isEmpty {
            guard rest.starts(with: content) else {
                strippedCount = 0
                break
            }
            rest = rest.dropFirst(content.count)
            strippedCount -= 1
        }
        return String(Substring(rest))
    }

    /// How many bytes at the end may still become a character.
    private static func unfinishedCount(_ bytes: [UInt8]) -> Int {
        for count in 1...3 where count <= bytes.count {
            let lead = bytes[bytes.count - count]
            if lead & 0xC0 == 0x80 { continue }
            let length =
                switch lead {
                case 0xC2...0xDF: 2
                case 0xE0...0xEF: 3
                case 0xF0...0xF4: 4
                default: 1
                }
            guard length > count else { return 0 }
            // The second byte's range is narrower after some leads (Unicode, table 3-7).
            if count > 1 {
                let second = bytes[bytes.count - count + 1]
                switch lead {
                case 0xE0 where second < 0xA0, 0xED where second > 0x9F: return 0
                case 0xF0 where second < 0x90, 0xF4 where second > 0x8F: return 0
                default: break
                }
            }
            return count
        }
        return 0
    }
}

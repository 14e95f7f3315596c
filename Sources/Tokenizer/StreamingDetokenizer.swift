/// Ids into text, one at a time, without ever giving out part of a character.
///
/// What `append` and `finish` return, put together, is what `BytePairTokenizer.decode` gives for all ids at once. Each
/// id costs its own bytes only.
package struct StreamingDetokenizer: Sendable {
    private let tokenizer: BytePairTokenizer
    private let skipSpecial: Bool
    private let shown: Set<Int32>
    /// The beginning of a UTF-8 sequence whose end hasn't come yet: at most three bytes.
    private var pending: [UInt8] = []

    /// - Parameter shown: special tokens that aren't skipped all the same.
    package init(_ tokenizer: BytePairTokenizer, skipSpecial: Bool, shown: Set<Int32> = []) {
        self.tokenizer = tokenizer
        self.skipSpecial = skipSpecial
        self.shown = shown
    }

    /// The characters that this id completes, which may be none.
    package mutating func append(_ id: Int32) -> String {
        if skipSpecial, tokenizer.isSpecial(id), !shown.contains(id) { return "" }
        guard let token = tokenizer.vocabulary[id] else { return "" }
        pending += token
        let complete = pending.count - Self.unfinishedCount(pending)
        guard complete > 0 else { return "" }
        let text = String(decoding: pending[..<complete], as: UTF8.self)
        pending.removeFirst(complete)
        return text
    }

    /// What is left when no more ids come: U+FFFD for a sequence that never ended.
    package mutating func finish() -> String {
        defer { pending.removeAll() }
        return String(decoding: pending, as: UTF8.self)
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

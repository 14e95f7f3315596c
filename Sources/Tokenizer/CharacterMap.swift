import FoundationEssentials

/// SentencePiece's table of characters that are replaced (`precompiled_charsmap`): a trie in a double array and, one
/// after the other, the texts that its leaves point to, each ended by a zero byte.
///
/// As in the reference the table is asked for a whole grapheme of fewer than six bytes first, and the shortest of its
/// entries that the grapheme begins with replaces all of it; other graphemes go through it character by character.
struct CharacterMap: Sendable {
    /// Of the table; the published ones have about 300,000.
    private static let greatestByteCount = 4 << 20
    private static let longestGrapheme = 5

    /// The units of the double array (Yata's darts-clone).
    private let units: [UInt32]
    private let texts: [UInt8]
    /// By a character of one byte: whether an entry begins with it.
    private let changesASCII: [Bool]

    init(base64 field: FileField) throws(TokenizerError) {
        let encoded = try field.string()
        guard encoded.utf8.count <= Self.greatestByteCount / 3 * 4 else {
            throw TokenizerError(.tooLarge, field: field.path, "the table of characters is too large")
        }
        guard let data = Data(base64Encoded: encoded) else { throw field.malformed("it isn't base64") }
        let bytes = [UInt8](data)
        guard bytes.count >= 4 else { throw field.malformed("the table of characters ends early") }
        let size = Int(Self.word(bytes, 0))
        guard size % 4 == 0, size >= 4, size <= bytes.count - 4 else {
            throw field.malformed(
                "the trie has \(size) bytes, where a multiple of 4, at most \(bytes.count - 4), is expected")
        }
        let texts = bytes[(4 + size)...]
        guard String(validating: texts, as: UTF8.self) != nil else {
            throw field.malformed("the texts of the table aren't UTF-8")
        }
        units = stride(from: 4, to: 4 + size, by: 4).map { Self.word(bytes, $0) }
        self.texts = Array(texts)
        let found = (units, self.texts)
        changesASCII = (0..<0x80).map { Self.find(CollectionOfOne($0), found.0, found.1) != nil }
    }

    private static func word(_ bytes: [UInt8], _ place: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << (8 * UInt32($1)) }
    }

    /// - Complexity: O(*n*)
    func apply(to text: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(text.count)
        var index = 0
        while index < text.count {
            // Most text: a character of one byte, and another one after it, which only CR and LF make one grapheme.
            let byte = text[index]
            if byte < 0x80, byte != 0x0D, index + 1 == text.count || text[index + 1] < 0x80 {
                append(CollectionOfOne(byte), isChanged: changesASCII[Int(byte)], to: &output)
                index += 1
                continue
            }
            // Between two characters of one byte a grapheme ends for certain.
            var end = index + 1
            while end < text.count, text[end] >= 0x80 || text[end - 1] >= 0x80 || text[end - 1] == 0x0D { end += 1 }
            for grapheme in String(decoding: text[index..<end], as: UTF8.self) {
                append(grapheme, to: &output)
            }
            index = end
        }
        return output
    }

    private func append(_ grapheme: Character, to output: inout [UInt8]) {
        let bytes = grapheme.utf8
        if bytes.count <= Self.longestGrapheme, let text = Self.find(bytes, units, texts) {
            output += text
            return
        }
        for scalar in grapheme.unicodeScalars { append(UTF8.encode(scalar) ?? .init(), isChanged: true, to: &output) }
    }

    private func append(_ character: some Collection<UInt8>, isChanged: Bool, to output: inout [UInt8]) {
        if isChanged, let text = Self.find(character, units, texts) {
            output += text
        } else {
            output += character
        }
    }

    /// What replaces a text that begins with an entry: the shortest entry's.
    private static func find(
        _ key: some Sequence<UInt8>, _ units: [UInt32], _ texts: [UInt8]
    ) -> ArraySlice<UInt8>? {
        var place = offset(units[0])
        for byte in key {
            place ^= Int(byte)
            guard byte != 0, place < units.count, units[place] & 0x8000_00FF == UInt32(byte) else { return nil }
            let unit = units[place]
            place ^= offset(unit)
            if unit & 0x100 != 0 {
                guard place < units.count else { return nil }
                let start = Int(units[place] & 0x7FFF_FFFF)
                // Whatever a bad table says, what comes out is UTF-8.
                guard start < texts.count, texts[start] & 0xC0 != 0x80 else { return nil }
                return texts[start...].prefix { $0 != 0 }
            }
        }
        return nil
    }

    private static func offset(_ unit: UInt32) -> Int {
        Int(unit >> 10) << Int((unit & 0x200) >> 6)
    }
}

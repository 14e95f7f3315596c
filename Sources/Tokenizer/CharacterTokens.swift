/// The tokens of single characters, and what stands for those that have none.
struct CharacterTokens: Sendable {
    private let vocabulary: Vocabulary
    /// Of the characters that are one byte; −1 where there is none.
    private let ascii: [Int32]
    /// The token of each byte, −1 where there is none; empty if characters aren't taken apart into bytes.
    private let bytes: [Int32]
    private let unknown: Int32?
    private let fusesUnknown: Bool

    init(vocabulary: Vocabulary, bytes: [Int32], unknown: Int32?, fusesUnknown: Bool) {
        self.vocabulary = vocabulary
        ascii = (0..<0x80).map { vocabulary.id(of: CollectionOfOne($0)) ?? -1 }
        self.bytes = bytes
        self.unknown = unknown
        self.fusesUnknown = fusesUnknown
    }

    func append(_ piece: UnsafeBufferPointer<UInt8>, to tokens: inout [Int32]) {
        var waiting = false
        var index = 0
        while index < piece.count {
            let width = unsafe Self.width(piece[index])
            let character = unsafe UnsafeBufferPointer(rebasing: piece[index..<min(piece.count, index + width)])
            index += width
            if let id = unsafe token(of: character) {
                if waiting, let unknown { tokens.append(unknown) }
                waiting = false
                tokens.append(id)
            } else if unsafe !bytes.isEmpty && character.allSatisfy({ bytes[Int($0)] >= 0 }) {
                // An unknown character before it comes after it, as in the reference.
                for index in 0..<character.count { tokens.append(bytes[Int(unsafe character[index])]) }
            } else {
                if waiting, !fusesUnknown, let unknown { tokens.append(unknown) }
                waiting = true
            }
        }
        if waiting, let unknown { tokens.append(unknown) }
    }

    private func token(of character: UnsafeBufferPointer<UInt8>) -> Int32? {
        if character.count > 1 { return unsafe vocabulary.id(of: character) }
        let id = unsafe ascii[Int(character[0] & 0x7F)]
        return id < 0 ? nil : id
    }

    /// Bytes of the character that begins with this one, in valid UTF-8.
    static func width(_ lead: UInt8) -> Int {
        switch lead {
        case ..<0xC0: 1
        case ..<0xE0: 2
        case ..<0xF0: 3
        default: 4
        }
    }

    /// The tokens of the first and the last character of a token; nil for one that merging begins with and that isn't a
    /// character.
    func ends(of token: ArraySlice<UInt8>, _ id: Int32) -> (first: Int32, last: Int32)? {
        guard id != unknown, !bytes.contains(id), let lead = token.first,
            let lastStart = token.lastIndex(where: { $0 & 0xC0 != 0x80 }),
            let first = vocabulary.id(of: token.prefix(Self.width(lead))),
            let last = vocabulary.id(of: token[lastStart...])
        else { return nil }
        return (first, last)
    }
}

extension PieceEncoder.Start {
    /// The tokens that merging begins with at both ends of a token; nil if they aren't known.
    func ends(of token: ArraySlice<UInt8>, _ id: Int32) -> (first: Int32, last: Int32)? {
        switch self {
        case .characters(let characters): return characters.ends(of: token, id)
        case .bytes(let bytes):
            guard let first = token.first, let last = token.last, bytes[Int(first)] >= 0, bytes[Int(last)] >= 0 else {
                return nil
            }
            return (bytes[Int(first)], bytes[Int(last)])
        }
    }
}

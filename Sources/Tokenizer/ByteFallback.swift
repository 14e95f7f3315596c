/// The tokens of single bytes in vocabularies of characters: `<0x0A>`.
enum ByteFallback {
    /// The token of each byte; −1 where there is none.
    static func tokens(_ vocabulary: Vocabulary) -> [Int32] {
        (UInt8.min ... .max).map { byte in
            let digits = String(byte, radix: 16, uppercase: true)
            return vocabulary.id(of: Array("<0x\(byte < 16 ? "0" : "")\(digits)>".utf8)) ?? -1
        }
    }

    /// The byte that a token stands for.
    static func byte(of token: some Collection<UInt8>) -> UInt8? {
        guard token.count == 6, token.starts(with: "<0x".utf8), token.dropFirst(5).first == UInt8(ascii: ">") else {
            return nil
        }
        let digits = token.dropFirst(3).prefix(2)
        guard digits.allSatisfy({ $0 < 0x80 && Character(Unicode.Scalar($0)).isHexDigit }) else { return nil }
        return UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
    }
}

extension BytePairTokenizer {
    /// The bytes that a token stands for, which may be part of a character; none for an id without a token.
    package func bytes(of id: Int32) -> [UInt8] {
        vocabulary[id].map(Array.init) ?? []
    }

    package func isSpecial(_ id: Int32) -> Bool {
        id >= 0 && Int(id) < isSpecial.count && isSpecial[Int(id)]
    }

    /// The text of the ids. Bytes that aren't UTF-8 become U+FFFD, one for each maximal part of a sequence; ids without
    /// a token are passed over.
    package func decode(_ ids: some Sequence<Int32>, skipSpecial: Bool) -> String {
        var bytes: [UInt8] = []
        for id in ids where !(skipSpecial && isSpecial(id)) {
            if let token = vocabulary[id] { bytes += token }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

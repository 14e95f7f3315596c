extension Tokenizer {
    /// The bytes that a token stands for, which may be part of a character; none for an id without a token.
    package func bytes(of id: Int32) -> [UInt8] {
        Array(slice(of: id))
    }

    /// `bytes(of:)` where they stand in the vocabulary.
    package func slice(of id: Int32) -> ArraySlice<UInt8> { decoder.texts[id] ?? [] }

    package func isSpecial(_ id: Int32) -> Bool {
        id >= 0 && Int(id) < isSpecial.count && isSpecial[Int(id)]
    }

    /// The text of the ids. Bytes that aren't UTF-8 become U+FFFD: with a byte-level vocabulary one for each maximal part
    /// of a sequence, with another one for each byte of the run of bytes; ids without a token are passed over.
    package func decode(_ ids: some Sequence<Int32>, skipSpecial: Bool) -> String {
        guard case .bytes = decoder.form else {
            var stream = StreamingDetokenizer(self, skipSpecial: skipSpecial)
            var text = ""
            for id in ids { text += stream.append(id) }
            return text + stream.finish()
        }
        var bytes: [UInt8] = []
        for id in ids where !(skipSpecial && isSpecial(id)) {
            if let token = decoder.texts[id] { bytes += token }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The pre-tokenizer of SentencePiece's vocabularies: a mark stands for each space, and words begin with one.
struct Metaspace: Sendable {
    enum Scheme: Sendable {
        /// Every piece of text gets a mark before it.
        case always
        /// Only the piece at the beginning of the text.
        case first
        case never
    }

    let replacement: [UInt8]
    let scheme: Scheme
    /// Whether each mark begins a piece.
    let splits: Bool

    init(_ step: FileField) throws(TokenizerError) {
        let replacement = try step["replacement"].stringIfPresent() ?? "▁"
        guard replacement.unicodeScalars.count == 1 else {
            throw step["replacement"].malformed("one character is expected, '\(replacement)' found")
        }
        self.replacement = Array(replacement.utf8)
        switch try step["prepend_scheme"].stringIfPresent() {
        case nil: scheme = try step["add_prefix_space"].bool(default: true) ? .always : .never
        case "always": scheme = .always
        case "first": scheme = .first
        case "never": scheme = .never
        case let other?: throw step["prepend_scheme"].unsupported(other)
        }
        splits = try step["split"].bool(default: true)
    }

    /// Appends a piece with its marks to `text`, and to `ends` where the pieces end that it becomes.
    ///
    /// - Parameter isFirst: whether the piece is at the beginning of the text.
    func append(
        _ piece: UnsafeBufferPointer<UInt8>, isFirst: Bool, to text: inout [UInt8], ends: inout [Int]
    ) {
        let start = text.count
        if scheme == .always || (scheme == .first && isFirst) {
            let hasMark = unsafe piece.first == UInt8(ascii: " ") || piece.starts(with: replacement)
            if !hasMark { text += replacement }
        }
        for index in 0..<piece.count {
            let byte = unsafe piece[index]
            if byte == UInt8(ascii: " ") { text += replacement } else { text.append(byte) }
        }
        if splits {
            var index = start + 1
            while index < text.count {
                if text[index] == replacement[0], text[index...].starts(with: replacement) { ends.append(index) }
                index += 1
            }
        }
        ends.append(text.count)
    }
}

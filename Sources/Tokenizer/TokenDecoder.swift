/// What each token adds to a text, and how tokens' texts become one.
struct TokenDecoder: Sendable {
    enum Form: Sendable {
        /// Tokens are bytes of the text.
        case bytes
        /// Tokens are characters, or single bytes that are characters where a run of them is UTF-8.
        case characters(Beginning)
    }

    /// What becomes of the first token, where spaces stand before words.
    enum Beginning: Sendable {
        case kept
        /// So many of these characters are taken from where the text begins.
        case stripped(content: [UInt8], count: Int)
        /// The first token loses its word marks.
        case withoutMarks([UInt8])
    }

    let form: Form
    /// The bytes that each id stands for.
    let texts: Vocabulary
    /// By id: whether it stands for a single byte. Empty if none does.
    private let isByte: [Bool]

    /// Tokens that are written in the alphabet of bytes.
    init(byteLevel vocabulary: Vocabulary) {
        form = .bytes
        texts = vocabulary
        isByte = []
    }

    init(_ texts: [[UInt8]?], takesBytes: Bool, beginning: Beginning) {
        form = .characters(beginning)
        guard takesBytes else {
            self.texts = Vocabulary(texts: texts)
            isByte = []
            return
        }
        let bytes = texts.map { $0.flatMap { ByteFallback.byte(of: $0) } }
        self.texts = Vocabulary(texts: zip(texts, bytes).map { text, byte in byte.map { [$0] } ?? text })
        isByte = bytes.map { $0 != nil }
    }

    func standsForByte(_ id: Int32) -> Bool { id >= 0 && Int(id) < isByte.count && isByte[Int(id)] }
}

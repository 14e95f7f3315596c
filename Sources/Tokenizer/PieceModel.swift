/// What makes ids of a piece of text.
enum PieceModel: Sendable {
    case bytePair(BytePairModel)
    case unigram(UnigramModel)

    /// Buffers that are reused from piece to piece.
    struct Buffers: Sendable {
        var merging = PieceEncoder.Buffers()
        var path = UnigramModel.Buffers()

        var capacity: Int { merging.capacity + path.capacity }
    }

    /// Whether a piece's ids may differ if it is taken literally.
    var dependsOnMode: Bool {
        switch self {
        case .bytePair(let model): model.literalEncoder != nil || model.ignoresMerges
        case .unigram: true
        }
    }

    /// Whether the model itself makes special tokens of text that spells them.
    var findsAddedTokens: Bool {
        if case .unigram = self { true } else { false }
    }

    /// Whether pieces may be cut before each word mark that follows something else, with the same ids.
    var cutsWords: Bool {
        switch self {
        case .bytePair(let model): model.cutsWords
        case .unigram: false
        }
    }

    /// - Parameter isLiteral: no added token may come out.
    func encode(
        _ piece: UnsafeBufferPointer<UInt8>, isLiteral: Bool, _ vocabulary: Vocabulary, _ buffers: inout Buffers,
        into output: inout [Int32]
    ) {
        switch self {
        case .bytePair(let model):
            unsafe model.encode(piece, isLiteral: isLiteral, vocabulary, &buffers.merging, into: &output)
        case .unigram(let model):
            unsafe model.encode(piece, isLiteral: isLiteral, &buffers.path, into: &output)
        }
    }
}

/// Byte-pair encoding, of bytes or of characters.
struct BytePairModel: Sendable {
    /// `▁`, which stands for a space in vocabularies of characters.
    static let wordMark = Array("▁".utf8)

    let encoder: PieceEncoder
    /// Without the merges whose result is an added token; nil if there are none.
    let literalEncoder: PieceEncoder?
    /// A whole piece that is a token isn't merged but looked up.
    let ignoresMerges: Bool
    /// By id.
    let isAdded: [Bool]
    /// No merge puts a word mark after anything but another one, so that words are encoded one by one: many short
    /// pieces take less time than a long one, and most are known already.
    let cutsWords: Bool

    func encode(
        _ piece: UnsafeBufferPointer<UInt8>, isLiteral: Bool, _ vocabulary: Vocabulary,
        _ buffers: inout PieceEncoder.Buffers, into output: inout [Int32]
    ) {
        if ignoresMerges, let whole = unsafe vocabulary.id(of: piece), !isLiteral || !isAdded[Int(whole)] {
            output.append(whole)
        } else {
            let encoder = isLiteral ? literalEncoder ?? encoder : encoder
            unsafe encoder.encode(piece, &buffers, into: &output)
        }
    }

    /// Whether a token has a word mark after something else.
    static func crossesWords(_ token: [UInt8]) -> Bool {
        var start = 0
        while token[start...].starts(with: wordMark) { start += wordMark.count }
        return !token[start...].ranges(of: wordMark).isEmpty
    }
}

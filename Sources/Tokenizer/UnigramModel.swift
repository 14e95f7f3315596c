/// The likeliest way to put a piece together from tokens, each of which has a log-probability (Kudo 2018, by Viterbi's
/// algorithm).
///
/// Of two ways that are equally likely the one found first stays, and they are found by where their last token begins,
/// leftmost first. Runs of characters that no token has become one unknown token, or the tokens of their bytes.
struct UnigramModel: Sendable {
    private let trie: TokenTrie
    private let vocabulary: Vocabulary
    /// By id.
    private let scores: [Double]
    private let unknown: Int32
    /// Ten less than the least of all tokens.
    private let unknownScore: Double
    /// The token of each byte, −1 where there is none; empty if characters aren't taken apart into bytes.
    private let bytes: [Int32]
    /// By id.
    private let isAdded: [Bool]

    struct Buffers: Sendable {
        /// [bytes + 1]: of the likeliest way to each place, its log-probability, its last token and where that begins.
        fileprivate var scores: [Double] = []
        fileprivate var tokens: [Int32] = []
        fileprivate var starts: [Int32] = []
        /// The ends of the tokens that were chosen, backwards.
        fileprivate var ends: [Int32] = []

        var capacity: Int { scores.capacity + tokens.capacity + starts.capacity + ends.capacity }
    }

    init(
        trie: TokenTrie, vocabulary: Vocabulary, scores: [Double], leastScore: Double, unknown: Int32,
        bytes: [Int32], isAdded: [Bool]
    ) {
        self.trie = trie
        self.vocabulary = vocabulary
        self.scores = scores
        self.unknown = unknown
        unknownScore = leastScore - 10
        self.bytes = bytes
        self.isAdded = isAdded
    }

    /// - Complexity: O(*n* · *m*), with tokens of at most *m* bytes.
    func encode(
        _ piece: UnsafeBufferPointer<UInt8>, isLiteral: Bool, _ buffers: inout Buffers, into output: inout [Int32]
    ) {
        unsafe findPath(piece, isLiteral: isLiteral, &buffers)
        buffers.ends.removeAll(keepingCapacity: true)
        var end = Int32(piece.count)
        while end > 0 {
            buffers.ends.append(end)
            end = buffers.starts[Int(end)]
        }
        var unknownStart: Int32?
        for end in buffers.ends.reversed() {
            let token = buffers.tokens[Int(end)]
            let start = buffers.starts[Int(end)]
            if token == unknown {
                unknownStart = unknownStart ?? start
                continue
            }
            if let first = unknownStart { unsafe appendUnknown(piece, first..<start, isLiteral: isLiteral, &output) }
            unknownStart = nil
            output.append(token)
        }
        if let first = unknownStart {
            unsafe appendUnknown(piece, first..<Int32(piece.count), isLiteral: isLiteral, &output)
        }
    }

    private func findPath(_ piece: UnsafeBufferPointer<UInt8>, isLiteral: Bool, _ buffers: inout Buffers) {
        let count = piece.count
        buffers.scores.removeAll(keepingCapacity: true)
        buffers.tokens.removeAll(keepingCapacity: true)
        buffers.starts.removeAll(keepingCapacity: true)
        buffers.scores.append(contentsOf: repeatElement(0, count: count + 1))
        buffers.tokens.append(contentsOf: repeatElement(0, count: count + 1))
        buffers.starts.append(contentsOf: repeatElement(-1, count: count + 1))
        func offer(_ token: Int32, _ score: Double, _ start: Int, _ end: Int) {
            guard buffers.starts[end] < 0 || score > buffers.scores[end] else { return }
            buffers.scores[end] = score
            buffers.tokens[end] = token
            buffers.starts[end] = Int32(start)
        }
        var start = 0
        while start < count {
            let scoreHere = buffers.scores[start]
            let width = unsafe CharacterTokens.width(piece[start])
            var hasCharacter = false
            var node: Int32 = 0
            var end = start
            while end < count {
                node = unsafe trie.child(of: node, piece[end])
                if node < 0 { break }
                end += 1
                let token = trie.token(at: node)
                guard token >= 0, !isLiteral || !isAdded[Int(token)] else { continue }
                offer(token, scores[Int(token)] + scoreHere, start, end)
                if end - start == width { hasCharacter = true }
            }
            if !hasCharacter { offer(unknown, unknownScore + scoreHere, start, min(count, start + width)) }
            start += width
        }
    }

    private func appendUnknown(
        _ piece: UnsafeBufferPointer<UInt8>, _ range: Range<Int32>, isLiteral: Bool, _ output: inout [Int32]
    ) {
        let run = unsafe UnsafeBufferPointer(rebasing: piece[Int(range.lowerBound)..<Int(range.upperBound)])
        if let token = unsafe vocabulary.id(of: run), !isLiteral || !isAdded[Int(token)] {
            output.append(token)
        } else if unsafe !bytes.isEmpty && run.allSatisfy({ bytes[Int($0)] >= 0 }) {
            for index in 0..<run.count { output.append(bytes[Int(unsafe run[index])]) }
        } else {
            output.append(unknown)
        }
    }
}

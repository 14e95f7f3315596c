import JSON

extension GGUFVocabulary {
    func bytePairMerges() throws(CheckpointError) -> [JSONValue] {
        for merge in merges where merge.utf8.count(where: { $0 == UInt8(ascii: " ") }) != 1 {
            throw failure("merges", "not two tokens", expected: "'left right'", found: "'\(merge)'")
        }
        return merges.map { .string($0) }
    }

    /// SentencePiece knows no merges: any two tokens merge that are together a third, the one of the highest score
    /// first. Written down as merges these are all the ways to put a token together from two others, in that order; of
    /// equal scores the ones whose left part, then whose right part is longer, and then those of lower ids come first,
    /// as the reference converter writes them.
    func sentencePieceMerges(_ types: [TokenType]) throws(CheckpointError) -> [JSONValue] {
        guard scores.count == tokens.count else {
            throw failure("scores", "not one for each token", expected: "\(tokens.count)", found: "\(scores.count)")
        }
        var ids: [ArraySlice<UInt8>: Int] = [:]
        for (id, token) in tokens.enumerated() where types[id] == .normal { ids[ArraySlice(token.utf8)] = id }
        var found: [(score: Float, leftCount: Int, rightCount: Int, left: Int, right: Int)] = []
        var (work, byteCount) = (0, 0)
        for (id, token) in tokens.enumerated() where types[id] == .normal {
            guard scores[id].isFinite else { throw failure("scores", "not a number", found: "\(scores[id])") }
            let characters = ArraySlice(token.utf8)
            let count = token.unicodeScalars.count
            guard characters.count <= Self.longestMerged else { continue }
            work += characters.count * characters.count
            var leftCount = 0
            var parts: [(leftCount: Int, left: Int, right: Int)] = []
            for cut in characters.indices.dropFirst() where characters[cut] & 0xC0 != 0x80 {
                leftCount += 1
                if let left = ids[characters[..<cut]], let right = ids[characters[cut...]] {
                    parts.append((leftCount, left, right))
                }
            }
            parts.sort { ($0.left, $0.right) < ($1.left, $1.right) }
            found += parts.map { (scores[id], $0.leftCount, count - $0.leftCount, $0.left, $0.right) }
            byteCount += parts.count * (characters.count + Self.mergeByteCount)
            guard work <= Self.greatestWork, byteCount <= Self.greatestMergeByteCount else {
                throw failure(
                    "tokens", "too many ways to put tokens together",
                    expected: "at most \(Self.greatestMergeByteCount) bytes of merges, found by comparing "
                        + "\(Self.greatestWork) bytes",
                    found: "more, before all \(tokens.count) tokens were looked at")
            }
        }
        let order = found.indices.sorted {
            let (first, second) = (found[$0], found[$1])
            if (first.score, first.leftCount, first.rightCount) == (second.score, second.leftCount, second.rightCount) {
                return $0 < $1
            }
            return (first.score, first.leftCount, first.rightCount)
                > (second.score, second.leftCount, second.rightCount)
        }
        return order.map { .array([.string(tokens[found[$0].left]), .string(tokens[found[$0].right])]) }
    }

    /// Bytes of a token that is looked at for merges: looking takes time by the square of this.
    private static let longestMerged = 1 << 10
    /// Squares of the tokens' bytes, in sum: ten times what 262,144 tokens of ten bytes take.
    private static let greatestWork = 1 << 28
    /// Of all merges as text: a few tokens that are alike could ask for gigabytes.
    private static let greatestMergeByteCount = 32 << 20
    /// What a merge takes beside its tokens' text.
    private static let mergeByteCount = 16
}

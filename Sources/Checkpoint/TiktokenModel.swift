import FoundationEssentials
import TokenText

/// `tiktoken.model`, the vocabulary of checkpoints without a `tokenizer.json`: on each line a token's bytes in base64 and,
/// after a space, its rank, which is its id. Any two tokens merge that are together a third, the one of the lowest rank
/// first.
package struct TiktokenModel: Sendable {
    /// By rank.
    let tokens: [[UInt8]]
    let ranks: [ArraySlice<UInt8>: Int]
    let path: String

    /// Bytes of a token: finding its parts takes time by the square of this.
    private static let longestToken = 1 << 10
    /// Of all merges as text: a file of a few tokens that are alike could ask for gigabytes. The published vocabularies
    /// take about 5 MB.
    private static let greatestMergeByteCount = 32 << 20

    /// - Throws: `CheckpointError` with the place of the line unless each rank from 0 on has one token, no token has two,
    ///   and every byte is one.
    package init(_ file: [UInt8], path: String) throws(CheckpointError) {
        self.path = path
        var places: [(rank: Int, token: [UInt8], offset: Int)] = []
        for line in file.split(whereSeparator: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }) {
            places.append(try Self.read(line, path: path))
        }
        var tokens = [[UInt8]?](repeating: nil, count: places.count)
        var ranks: [ArraySlice<UInt8>: Int] = [:]
        for (rank, token, offset) in places {
            guard rank < tokens.count else {
                throw Self.failure(
                    path, offset, "a rank that leaves out others, where ids come one after the other",
                    expected: "0 to \(tokens.count - 1) for \(tokens.count) tokens", found: "\(rank)")
            }
            guard tokens[rank] == nil else { throw Self.failure(path, offset, "a rank comes twice", found: "\(rank)") }
            tokens[rank] = token
            if let other = ranks.updateValue(rank, forKey: token[...]) {
                throw Self.failure(path, offset, "a token comes twice", found: "as \(other) and as \(rank)")
            }
        }
        for byte in UInt8.min ... .max where ranks[[byte]] == nil {
            throw Self.failure(path, nil, "a byte has no token", expected: "all 256", found: "none for byte \(byte)")
        }
        self.tokens = tokens.compactMap(\.self)
        self.ranks = ranks
    }

    private static func read(
        _ line: ArraySlice<UInt8>, path: String
    ) throws(CheckpointError) -> (rank: Int, token: [UInt8], offset: Int) {
        let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 2, let rank = Int(String(decoding: parts[1], as: UTF8.self)), rank >= 0 else {
            throw failure(
                path, line.startIndex, "not a token and its rank", expected: "base64, a space and a number",
                found: "'\(String(decoding: line.prefix(40), as: UTF8.self))'")
        }
        guard let data = Data(base64Encoded: String(decoding: parts[0], as: UTF8.self)) else {
            throw failure(
                path, line.startIndex, "not base64", found: "'\(String(decoding: parts[0].prefix(40), as: UTF8.self))'")
        }
        guard (1...longestToken).contains(data.count) else {
            throw failure(
                path, line.startIndex, "a token of a length that isn't accepted",
                expected: "1 to \(longestToken) bytes",
                found: "\(data.count)")
        }
        return (rank, [UInt8](data), line.startIndex)
    }

    /// `left right`, in GPT-2's alphabet of bytes: for each token, in their order, all ways to put it together from two
    /// others, of which the ones of the lowest left and then of the lowest right rank come first, as the reference
    /// converter writes them.
    func merges() throws(CheckpointError) -> [String] {
        let texts = tokens.map(ByteAlphabet.text(of:))
        var merges: [String] = []
        var byteCount = 0
        for token in tokens {
            var parts: [(left: Int, right: Int)] = []
            for cut in token.indices.dropFirst() {
                if let left = ranks[token[..<cut]], let right = ranks[token[cut...]] { parts.append((left, right)) }
            }
            for part in parts.sorted(by: { ($0.left, $0.right) < ($1.left, $1.right) }) {
                let merge = texts[part.left] + " " + texts[part.right]
                byteCount += merge.utf8.count
                merges.append(merge)
            }
            guard byteCount <= Self.greatestMergeByteCount else {
                throw Self.failure(
                    path, nil, "too many ways to put tokens together",
                    expected: "at most \(Self.greatestMergeByteCount) bytes of merges",
                    found: "more, before all \(tokens.count) tokens were looked at")
            }
        }
        return merges
    }

    private static func failure(
        _ path: String, _ offset: Int?, _ message: String, expected: String? = nil, found: String
    ) -> CheckpointError {
        CheckpointError(
            .malformedVocabulary, message, path: path, offset: offset, expected: expected, found: found)
    }
}

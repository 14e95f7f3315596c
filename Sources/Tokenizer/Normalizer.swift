/// What is done to a text before it is cut into pieces: steps in order.
struct Normalizer: Sendable {
    enum Step: Sendable {
        case prepend([UInt8])
        case replaceText([UInt8], [UInt8])
        case replacePattern(PreTokenizer.Patterns, [UInt8])
        case stripSpace(left: Bool, right: Bool)
        /// Unicode's normalisation form C.
        case compose
        case map(CharacterMap)
    }

    /// Of a `prepend` or a replacement.
    static let longestContent = 256
    static let greatestStepCount = 16
    /// How many times as long a text may become, besides a few pages.
    private static let greatestGrowth = 32

    var steps: [Step] = []

    var isIdentity: Bool { steps.isEmpty }

    /// - Throws: `TokenizerError.Code.tooLarge` for a text that grows out of all proportion, or what matching throws.
    /// - Complexity: O(*n*) for each step, besides what patterns take.
    func normalize(
        _ text: UnsafeBufferPointer<UInt8>, matcher: PatternMatcher
    ) throws(TokenizerError) -> [UInt8] {
        var bytes = unsafe Array(text)
        let limit = Self.greatestGrowth * text.count + 1 << 14
        for step in steps {
            if bytes.isEmpty { return bytes }
            switch step {
            case .prepend(let content): bytes.insert(contentsOf: content, at: 0)
            case .replaceText(let pattern, let content):
                bytes = try Self.replace(pattern, in: bytes, by: content, limit: limit)
            case .replacePattern(let patterns, let content):
                bytes = try Self.replace(patterns, in: bytes, by: content, matcher, limit: limit)
            case .stripSpace(let left, let right): bytes = Self.strip(bytes, left: left, right: right)
            case .compose: bytes = CanonicalComposition.compose(bytes)
            case .map(let map): bytes = map.apply(to: bytes)
            }
            if bytes.count > limit { throw Self.tooLong }
        }
        return bytes
    }

    private static let tooLong = TokenizerError(
        .tooLarge, field: "tokenizer.json normalizer",
        "it makes a text more than \(greatestGrowth) times as long as it was")

    private static func replace(
        _ pattern: [UInt8], in text: [UInt8], by content: [UInt8], limit: Int
    ) throws(TokenizerError) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(text.count + text.count / 4)
        var index = 0
        while index < text.count {
            if text[index] == pattern[0], text[index...].starts(with: pattern) {
                output += content
                index += pattern.count
                if output.count > limit { throw tooLong }
            } else {
                output.append(text[index])
                index += 1
            }
        }
        return output
    }

    private static func replace(
        _ patterns: PreTokenizer.Patterns, in text: [UInt8], by content: [UInt8], _ matcher: PatternMatcher, limit: Int
    ) throws(TokenizerError) -> [UInt8] {
        try unsafe text.withUnsafeBufferPointer { (bytes) throws(TokenizerError) in
            let pattern = unsafe patterns.pattern(for: bytes)
            var output: [UInt8] = []
            var index = 0
            while index < bytes.count, let match = try unsafe matcher.firstMatch(pattern, in: bytes, from: index) {
                unsafe output.append(contentsOf: bytes[index..<match.lowerBound])
                output += content
                index = match.upperBound
                if output.count > limit { throw tooLong }
            }
            unsafe output.append(contentsOf: bytes[index...])
            return output
        }
    }

    private static func strip(_ text: [UInt8], left: Bool, right: Bool) -> [UInt8] {
        let scalars = String(decoding: text, as: UTF8.self).unicodeScalars
        var range = scalars.startIndex..<scalars.endIndex
        if left {
            range = (scalars[range].firstIndex { !$0.properties.isWhitespace } ?? range.upperBound)..<range.upperBound
        }
        if right {
            let last = scalars[range].lastIndex { !$0.properties.isWhitespace }
            range = range.lowerBound..<(last.map { scalars.index(after: $0) } ?? range.lowerBound)
        }
        return Array(String(scalars[range]).utf8)
    }
}

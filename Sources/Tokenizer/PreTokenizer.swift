/// Splits a text into the pieces that are encoded one by one: stages of patterns, each run over the earlier ones'
/// pieces. Matches become pieces of their own and the gaps stay (the reference's `Isolated`).
struct PreTokenizer: Sendable {
    struct Stage: Sendable {
        /// For texts that don't depend on `UnicodeAdditions`.
        let plain: SplitPattern
        let extended: SplitPattern
    }

    private var stages: [Stage] = []

    /// Where the pieces of a text end, for one stage and the next.
    struct Buffers: Sendable {
        fileprivate(set) var ends: [Int] = []
        fileprivate var previousEnds: [Int] = []

        var capacity: Int { ends.capacity + previousEnds.capacity }
    }

    mutating func addPattern(_ pattern: String, field: String) throws(TokenizerError) {
        guard pattern.utf8.count <= 1 << 14, stages.count < 64 else {
            throw TokenizerError(.tooLarge, field: field, "a pattern is too long, or there are too many of them")
        }
        let translated = try PatternTranslation(pattern, field: field)
        stages.append(
            Stage(
                plain: try SplitPattern(translated.plain, literal: false, field: field),
                extended: try SplitPattern(translated.extended, literal: false, field: field)))
    }

    mutating func addLiteral(_ text: String, field: String) throws(TokenizerError) {
        guard !text.isEmpty, text.utf8.count <= 1 << 14, stages.count < 64 else {
            throw TokenizerError(.malformed, field: field, "a string to split at is empty or too long")
        }
        let pattern = try SplitPattern(text, literal: true, field: field)
        stages.append(Stage(plain: pattern, extended: pattern))
    }

    /// Leaves in `buffers.ends` where the pieces of `text` end.
    func split(
        _ text: UnsafeBufferPointer<UInt8>, extended: Bool, matcher: PatternMatcher, _ buffers: inout Buffers
    ) throws(TokenizerError) {
        buffers.ends.removeAll(keepingCapacity: true)
        if text.isEmpty { return }
        buffers.ends.append(text.count)
        for stage in stages {
            swap(&buffers.ends, &buffers.previousEnds)
            buffers.ends.removeAll(keepingCapacity: true)
            let pattern = extended ? stage.extended : stage.plain
            var start = 0
            for end in buffers.previousEnds {
                let piece = unsafe UnsafeBufferPointer(rebasing: text[start..<end])
                var offset = 0
                while offset < piece.count,
                    let match = try unsafe matcher.firstMatch(pattern, in: piece, from: offset)
                {
                    if match.lowerBound > offset { buffers.ends.append(start + match.lowerBound) }
                    buffers.ends.append(start + match.upperBound)
                    offset = match.upperBound
                }
                if offset < piece.count { buffers.ends.append(end) }
                start = end
            }
        }
    }

    /// Whether the text has a code point whose properties depend on the Unicode version.
    static func needsExtended(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        var index = 0
        while index < text.count {
            let lead = unsafe UInt32(text[index])
            // Two-byte sequences end below the first addition.
            if lead < 0xE0 {
                index += 1
                continue
            }
            let length = lead < 0xF0 ? 3 : 4
            guard index + length <= text.count else { return true }
            var scalar = lead & (lead < 0xF0 ? 0x0F : 0x07)
            for position in index + 1..<index + length {
                scalar = unsafe scalar << 6 | UInt32(text[position] & 0x3F)
            }
            if UnicodeAdditions.contains(scalar) { return true }
            index += length
        }
        return false
    }
}

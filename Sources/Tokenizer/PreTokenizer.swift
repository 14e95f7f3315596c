/// Cuts a text into the pieces that are encoded one by one: stages of patterns, each run over the earlier ones' pieces,
/// and at the end perhaps marks in the place of spaces.
struct PreTokenizer: Sendable {
    /// A pattern in two forms.
    struct Patterns: Sendable {
        /// For texts that don't depend on `UnicodeAdditions`.
        let plain: SplitPattern
        let extended: SplitPattern

        init(_ pattern: String, field: String) throws(TokenizerError) {
            guard pattern.utf8.count <= 1 << 14 else {
                throw TokenizerError(.tooLarge, field: field, "a pattern is too long")
            }
            let translated = try PatternTranslation(pattern, field: field)
            plain = try SplitPattern(translated.plain, literal: false, field: field)
            extended = try SplitPattern(translated.extended, literal: false, field: field)
        }

        init(literal text: String, field: String) throws(TokenizerError) {
            guard !text.isEmpty, text.utf8.count <= 1 << 14 else {
                throw TokenizerError(.malformed, field: field, "a string to split at is empty or too long")
            }
            plain = try SplitPattern(text, literal: true, field: field)
            extended = plain
        }

        func pattern(for text: UnsafeBufferPointer<UInt8>) -> SplitPattern {
            unsafe UnicodeAdditions.occur(in: text) ? extended : plain
        }
    }

    struct Stage: Sendable {
        let patterns: Patterns
        let behavior: SplitBehavior
        /// What matches is taken for what doesn't, and the other way round.
        let isInverted: Bool
    }

    static let greatestStageCount = 64

    private(set) var stages: [Stage] = []
    /// The last stage, where there is one.
    var metaspace: Metaspace?

    /// The pieces of a text, for one stage and the next.
    struct Buffers: Sendable {
        fileprivate(set) var pieces: [Range<Int>] = []
        fileprivate var previous: [Range<Int>] = []

        var capacity: Int { pieces.capacity + previous.capacity }
    }

    mutating func add(_ stage: Stage, field: String) throws(TokenizerError) {
        guard stages.count < Self.greatestStageCount else {
            throw TokenizerError(.tooLarge, field: field, "there are too many patterns")
        }
        stages.append(stage)
    }

    /// Leaves the pieces of `text` in `buffers.pieces`, in order.
    func split(
        _ text: UnsafeBufferPointer<UInt8>, matcher: PatternMatcher, _ buffers: inout Buffers
    ) throws(TokenizerError) {
        buffers.pieces.removeAll(keepingCapacity: true)
        if text.isEmpty { return }
        buffers.pieces.append(0..<text.count)
        if stages.isEmpty { return }
        let extended = unsafe UnicodeAdditions.occur(in: text)
        for stage in stages {
            swap(&buffers.pieces, &buffers.previous)
            buffers.pieces.removeAll(keepingCapacity: true)
            let pattern = extended ? stage.patterns.extended : stage.patterns.plain
            for place in buffers.previous {
                let piece = unsafe UnsafeBufferPointer(rebasing: text[place])
                var placement = stage.behavior.placement
                var offset = 0
                while offset < piece.count,
                    let match = try unsafe matcher.firstMatch(pattern, in: piece, from: offset)
                {
                    let start = place.lowerBound
                    if match.lowerBound > offset {
                        placement.append(
                            start + offset..<start + match.lowerBound, isMatch: stage.isInverted, to: &buffers.pieces)
                    }
                    placement.append(
                        start + match.lowerBound..<start + match.upperBound, isMatch: !stage.isInverted,
                        to: &buffers.pieces)
                    offset = match.upperBound
                }
                if offset < piece.count {
                    placement.append(
                        place.lowerBound + offset..<place.upperBound, isMatch: stage.isInverted, to: &buffers.pieces)
                }
            }
        }
    }
}

/// What one call of `encode` needs, kept for the next call.
struct EncodingWorkspace: Sendable {
    let matcher: PatternMatcher
    var pieces = PreTokenizer.Buffers()
    var encoding = PieceModel.Buffers()
    /// The ids of known pieces, and of those that are taken literally where that makes a difference.
    var cache = PieceCache()
    var literalCache: PieceCache?
    /// Of a text as it is, and of a normalised part of it.
    var sections: [AddedTokenMatcher.Section] = []
    var normalizedSections: [AddedTokenMatcher.Section] = []
    /// A part of a text with marks in the place of spaces, and where its pieces end.
    var marked: [UInt8] = []
    var markedEnds: [Int] = []

    init?() {
        guard let matcher = PatternMatcher() else { return nil }
        self.matcher = matcher
    }

    /// Buffers that a very long text has made large aren't kept.
    var isWorthKeeping: Bool {
        pieces.capacity + encoding.capacity + sections.capacity + normalizedSections.capacity + marked.capacity
            + markedEnds.capacity < 1 << 18
    }
}

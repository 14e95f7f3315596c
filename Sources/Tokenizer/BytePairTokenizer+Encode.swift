import Synchronization

/// What one call of `encode` needs, kept for the next call.
struct EncodingWorkspace: Sendable {
    let matcher: PatternMatcher
    var pieces = PreTokenizer.Buffers()
    var merging = PieceEncoder.Buffers()
    var cache = PieceCache()
    var sections: [AddedTokenMatcher.Section] = []

    init?() {
        guard let matcher = PatternMatcher() else { return nil }
        self.matcher = matcher
    }

    /// Buffers that a very long text has made large aren't kept.
    fileprivate var isWorthKeeping: Bool { pieces.capacity + merging.capacity + sections.capacity < 1 << 18 }
}

extension BytePairTokenizer {
    /// The longest text that is encoded: positions are kept in 32 bits.
    private static let longestText = 1 << 30
    private static let keptWorkspaces = 8

    /// The ids of a text.
    ///
    /// - Parameter special: what to do with the text of added tokens; `.literal` for anything that a person wrote.
    /// - Parameter addBegin: whether the tokens that the post-processor puts before a text (the begin token of the
    ///   DeepSeek family) come first. Off for a rendered chat template, which writes them itself.
    /// - Throws: `TokenizerError.Code.patternLimit` if a pattern of the tokenizer takes too much work or memory on
    ///   this text: a matter of contrived texts.
    /// - Complexity: O(*n* log *n*), besides what the patterns take.
    package func encode(
        _ text: String, special: SpecialTokens, addBegin: Bool
    ) throws(TokenizerError) -> [Int32] {
        let utf8 = text.utf8Span.span
        guard utf8.count <= Self.longestText else {
            throw TokenizerError(.tooLarge, field: "text", "\(utf8.count) bytes can't be encoded at once")
        }
        guard var workspace = workspaces.withLock({ $0.popLast() }) ?? EncodingWorkspace() else {
            throw TokenizerError(.tooLarge, field: "text", "there is no memory to encode it")
        }
        var output = addBegin ? prefix : []
        output.reserveCapacity(utf8.count / 4 + 8)
        try unsafe utf8.withUnsafeBufferPointer { (bytes) throws(TokenizerError) in
            try unsafe encode(bytes, special, &workspace, into: &output)
        }
        if workspace.isWorthKeeping {
            workspaces.withLock { if $0.count < Self.keptWorkspaces { $0.append(workspace) } }
        }
        return output
    }

    private func encode(
        _ text: UnsafeBufferPointer<UInt8>, _ special: SpecialTokens, _ workspace: inout EncodingWorkspace,
        into output: inout [Int32]
    ) throws(TokenizerError) {
        workspace.matcher.prepare(byteCount: text.count)
        let extended = unsafe PreTokenizer.needsExtended(text)
        unsafe split(text, special, into: &workspace.sections)
        for index in workspace.sections.indices {
            let section = workspace.sections[index]
            if let token = section.token {
                output.append(token)
                continue
            }
            let bytes = unsafe UnsafeBufferPointer(rebasing: text[section.range])
            try unsafe preTokenizer.split(
                bytes, extended: extended, matcher: workspace.matcher, &workspace.pieces)
            var start = 0
            for end in workspace.pieces.ends {
                let piece = unsafe UnsafeBufferPointer(rebasing: bytes[start..<end])
                unsafe encode(piece: piece, special, &workspace, into: &output)
                start = end
            }
        }
    }

    private func split(
        _ text: UnsafeBufferPointer<UInt8>, _ special: SpecialTokens,
        into sections: inout [AddedTokenMatcher.Section]
    ) {
        sections.removeAll(keepingCapacity: true)
        sections.append(.init(range: 0..<text.count, token: nil))
        if special == .literal { return }
        for matcher in matchers {
            let earlier = sections
            sections.removeAll(keepingCapacity: true)
            for section in earlier {
                if section.token == nil {
                    unsafe matcher.split(
                        text, in: section.range, specialAsText: special == .asText, into: &sections)
                } else {
                    sections.append(section)
                }
            }
        }
    }

    private func encode(
        piece: UnsafeBufferPointer<UInt8>, _ special: SpecialTokens, _ workspace: inout EncodingWorkspace,
        into output: inout [Int32]
    ) {
        // Without these, a piece's ids are the same in every mode.
        let dependsOnMode = hasMergedAddedTokens || ignoresMerges
        let key = dependsOnMode && special == .literal ? nil : unsafe PieceCache.Key(piece)
        if let key, workspace.cache.append(key, to: &output) { return }
        let start = output.count
        if ignoresMerges, let whole = unsafe vocabulary.id(of: piece), isAllowed(whole, special) {
            output.append(whole)
        } else {
            let encoder = special == .literal ? literalEncoder : encoder
            unsafe encoder.encode(piece, &workspace.merging, into: &output)
        }
        if let key { workspace.cache.remember(key, output[start...]) }
    }

    /// Whether a whole piece may become this token.
    private func isAllowed(_ token: Int32, _ special: SpecialTokens) -> Bool {
        special != .literal || !isAdded[Int(token)]
    }
}

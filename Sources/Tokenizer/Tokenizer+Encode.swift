import Synchronization

extension Tokenizer {
    /// The longest text that is encoded: positions are kept in 32 bits.
    private static let longestText = 1 << 30
    private static let keptWorkspaces = 8

    /// The ids of a text.
    ///
    /// - Parameter special: what to do with the text of added tokens; `.literal` for anything that a person wrote.
    /// - Parameter addBegin: whether the tokens come along that the post-processor puts before a text (the begin token
    ///   of the DeepSeek family) and after it (the end token of T5's). Off for a rendered chat template, which writes
    ///   them itself.
    /// - Parameter continuesText: whether a part of the same text was encoded before, so that nothing comes before the
    ///   first word that belongs to the beginning of a text.
    /// - Throws: `TokenizerError.Code.patternLimit` or `.tooLarge` if a pattern or the normaliser of the tokenizer takes
    ///   too much work or memory on this text: a matter of contrived texts.
    /// - Complexity: O(*n* log *n*), besides what the patterns take.
    package func encode(
        _ text: String, special: SpecialTokens, addBegin: Bool, continuesText: Bool = false
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
            try unsafe encode(bytes, isFirst: !continuesText, special, &workspace, into: &output)
        }
        if addBegin { output += suffix }
        if workspace.isWorthKeeping {
            workspaces.withLock { if $0.count < Self.keptWorkspaces { $0.append(workspace) } }
        }
        return output
    }

    private func encode(
        _ text: UnsafeBufferPointer<UInt8>, isFirst: Bool, _ special: SpecialTokens,
        _ workspace: inout EncodingWorkspace, into output: inout [Int32]
    ) throws(TokenizerError) {
        workspace.matcher.prepare(byteCount: text.count)
        unsafe split(text, matchers.raw, special, into: &workspace.sections)
        for index in workspace.sections.indices {
            let section = workspace.sections[index]
            if let token = section.token {
                output.append(token)
                continue
            }
            let bytes = unsafe UnsafeBufferPointer(rebasing: text[section.range])
            let isFirst = isFirst && section.range.lowerBound == 0
            if normalizer.isIdentity {
                try unsafe encode(normalized: bytes, isFirst: isFirst, special, &workspace, into: &output)
            } else {
                let normalized = try unsafe normalizer.normalize(bytes, matcher: workspace.matcher)
                try unsafe normalized.withUnsafeBufferPointer { (bytes) throws(TokenizerError) in
                    try unsafe encode(normalized: bytes, isFirst: isFirst, special, &workspace, into: &output)
                }
            }
        }
    }

    private func split(
        _ text: UnsafeBufferPointer<UInt8>, _ matcher: AddedTokenMatcher?, _ special: SpecialTokens,
        into sections: inout [AddedTokenMatcher.Section]
    ) {
        sections.removeAll(keepingCapacity: true)
        if let matcher, special != .literal {
            unsafe matcher.split(text, in: 0..<text.count, specialAsText: special == .asText, into: &sections)
        } else if !text.isEmpty {
            sections.append(.init(range: 0..<text.count, token: nil))
        }
    }

    private func encode(
        normalized text: UnsafeBufferPointer<UInt8>, isFirst: Bool, _ special: SpecialTokens,
        _ workspace: inout EncodingWorkspace, into output: inout [Int32]
    ) throws(TokenizerError) {
        unsafe split(text, matchers.normalized, special, into: &workspace.normalizedSections)
        for index in workspace.normalizedSections.indices {
            let section = workspace.normalizedSections[index]
            if let token = section.token {
                output.append(token)
                continue
            }
            let bytes = unsafe UnsafeBufferPointer(rebasing: text[section.range])
            try unsafe preTokenizer.split(bytes, matcher: workspace.matcher, &workspace.pieces)
            let isFirst = isFirst && section.range.lowerBound == 0
            let isLiteral = special == .literal || (special == .asText && model.findsAddedTokens)
            for piece in workspace.pieces.pieces {
                let content = unsafe UnsafeBufferPointer(rebasing: bytes[piece])
                if let metaspace = preTokenizer.metaspace {
                    unsafe encode(
                        content, metaspace, isFirst: isFirst && piece.lowerBound == 0, isLiteral: isLiteral, &workspace,
                        into: &output)
                } else {
                    unsafe encode(piece: content, isLiteral: isLiteral, &workspace, into: &output)
                }
            }
        }
    }

    private func encode(
        _ text: UnsafeBufferPointer<UInt8>, _ metaspace: Metaspace, isFirst: Bool, isLiteral: Bool,
        _ workspace: inout EncodingWorkspace, into output: inout [Int32]
    ) {
        var marked: [UInt8] = []
        var ends: [Int] = []
        swap(&marked, &workspace.marked)
        swap(&ends, &workspace.markedEnds)
        marked.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
        unsafe metaspace.append(text, isFirst: isFirst, to: &marked, ends: &ends)
        unsafe marked.withUnsafeBufferPointer { bytes in
            var start = 0
            for end in ends {
                let piece = unsafe UnsafeBufferPointer(rebasing: bytes[start..<end])
                unsafe encode(piece: piece, isLiteral: isLiteral, &workspace, into: &output)
                start = end
            }
        }
        swap(&marked, &workspace.marked)
        swap(&ends, &workspace.markedEnds)
    }

    private func encode(
        piece: UnsafeBufferPointer<UInt8>, isLiteral: Bool, _ workspace: inout EncodingWorkspace,
        into output: inout [Int32]
    ) {
        guard model.cutsWords else {
            return unsafe encode(word: piece, isLiteral: isLiteral, &workspace, into: &output)
        }
        let mark = BytePairModel.wordMark
        var start = 0
        var index = 0
        // Whether the character before is a mark, or there is none.
        var followsMark = true
        while index < piece.count {
            let isMark =
                unsafe index + 2 < piece.count && piece[index] == mark[0] && piece[index + 1] == mark[1]
                && piece[index + 2] == mark[2]
            if isMark, !followsMark {
                let word = unsafe UnsafeBufferPointer(rebasing: piece[start..<index])
                unsafe encode(word: word, isLiteral: isLiteral, &workspace, into: &output)
                start = index
            }
            followsMark = isMark
            index += isMark ? mark.count : 1
        }
        let word = unsafe UnsafeBufferPointer(rebasing: piece[start...])
        unsafe encode(word: word, isLiteral: isLiteral, &workspace, into: &output)
    }

    private func encode(
        word: UnsafeBufferPointer<UInt8>, isLiteral: Bool, _ workspace: inout EncodingWorkspace,
        into output: inout [Int32]
    ) {
        let isApart = isLiteral && model.dependsOnMode
        if isApart, workspace.literalCache == nil { workspace.literalCache = PieceCache() }
        let key = unsafe PieceCache.Key(word)
        if let key {
            let isKnown =
                isApart
                ? workspace.literalCache?.append(key, to: &output) ?? false : workspace.cache.append(key, to: &output)
            if isKnown { return }
        }
        let start = output.count
        unsafe model.encode(word, isLiteral: isLiteral, vocabulary, &workspace.encoding, into: &output)
        guard let key else { return }
        if isApart {
            workspace.literalCache?.remember(key, output[start...])
        } else {
            workspace.cache.remember(key, output[start...])
        }
    }
}

/// From what the file says to what the tokenizer needs, refusing what would be wrong to ignore.
extension TokenizerFile {
    func refuseUnsupported() throws(TokenizerError) {
        func refuse(_ field: String, _ value: String) -> TokenizerError {
            TokenizerError(.unsupported, field: "tokenizer.json \(field)", "\(value) isn't supported")
        }
        if let type = model.type, type != "BPE" { throw refuse("model.type", type) }
        if let dropout = model.dropout, dropout != 0 { throw refuse("model.dropout", "\(dropout)") }
        if let prefix = model.continuingSubwordPrefix, !prefix.isEmpty {
            throw refuse("model.continuing_subword_prefix", prefix)
        }
        if let suffix = model.endOfWordSuffix, !suffix.isEmpty { throw refuse("model.end_of_word_suffix", suffix) }
        if model.byteFallback == true { throw refuse("model.byte_fallback", "true") }
        if let normalizer, !normalizer.isIdentity { throw refuse("normalizer", normalizer.type) }
        guard let decoder else { throw refuse("decoder", "null (other than ByteLevel)") }
        if decoder.type != "ByteLevel" { throw refuse("decoder", decoder.type) }
    }

    /// Every token's text by its id, those of `added_tokens` included; nil where an id has none.
    func tokensByID() throws(TokenizerError) -> [String?] {
        let field = "tokenizer.json model.vocab"
        guard !model.vocabulary.isEmpty else { throw TokenizerError(.malformed, field: field, "it is empty") }
        var tokens: [String?] = []
        func place(_ text: String, at id: Int, _ field: String) throws(TokenizerError) {
            guard (0..<Vocabulary.largestID).contains(id) else {
                throw TokenizerError(
                    .malformed, field: field,
                    "\(text) has the id \(id), where 0 to \(Vocabulary.largestID - 1) is expected")
            }
            while tokens.count <= id { tokens.append(nil) }
            if let other = tokens[id], !other.utf8.elementsEqual(text.utf8) {
                throw TokenizerError(.malformed, field: field, "\(text) and \(other) both have the id \(id)")
            }
            tokens[id] = text
        }
        for (text, id) in model.vocabulary { try place(text, at: id, field) }
        for token in addedTokens ?? [] { try place(token.content, at: token.id, "tokenizer.json added_tokens") }
        return tokens
    }

    func checkedAddedTokens() throws(TokenizerError) -> [AddedToken] {
        let field = "tokenizer.json added_tokens"
        let tokens = addedTokens ?? []
        guard tokens.count <= AddedTokenMatcher.largestCount else {
            throw TokenizerError(
                .tooLarge, field: field,
                "\(tokens.count) tokens, where at most \(AddedTokenMatcher.largestCount) are accepted")
        }
        var ids: [String: Int] = [:]
        var result: [AddedToken] = []
        for token in tokens {
            let content = Array(token.content.utf8)
            guard (1...AddedTokenMatcher.longestContent).contains(content.count) else {
                throw TokenizerError(
                    .malformed, field: field,
                    "the token \(token.id) has \(content.count) bytes, where 1 to "
                        + "\(AddedTokenMatcher.longestContent) are accepted")
            }
            if let other = ids.updateValue(token.id, forKey: token.content) ?? model.vocabulary[token.content],
                other != token.id
            {
                throw TokenizerError(
                    .malformed, field: field, "\(token.content) has the id \(token.id) and the id \(other)")
            }
            let strips = token.lstrip == true || token.rstrip == true
            if strips, token.content.unicodeScalars.contains(where: \.properties.isWhitespace) {
                throw TokenizerError(
                    .unsupported, field: field,
                    "\(token.content) holds white space and strips it too (lstrip, rstrip), which isn't supported")
            }
            result.append(
                AddedToken(
                    id: Int32(token.id), content: content, isSpecial: token.special ?? false,
                    isSingleWord: token.singleWord ?? false, stripsLeft: token.lstrip ?? false,
                    stripsRight: token.rstrip ?? false))
        }
        return result
    }

    /// The reference looks for tokens that are matched before normalisation first, and then, in what is left, for
    /// the others. Without a normalizer only this order is left of the difference.
    func addedTokenMatchers(_ checked: [AddedToken]) -> [AddedTokenMatcher] {
        let flags = (addedTokens ?? []).map { $0.normalized ?? ($0.special != true) }
        return [false, true].compactMap { normalized in
            let tokens = zip(checked, flags).filter { $0.1 == normalized }.map(\.0)
            return tokens.isEmpty ? nil : AddedTokenMatcher(tokens)
        }
    }

    /// The token of each byte. A byte that can't occur in UTF-8 needs none (−1).
    func byteTokens(_ vocabulary: Vocabulary) throws(TokenizerError) -> [Int32] {
        var tokens: [Int32] = []
        for byte in UInt8.min ... .max {
            let id = vocabulary.id(of: CollectionOfOne(byte))
            if id == nil, byte < 0xF5, byte != 0xC0, byte != 0xC1 {
                throw TokenizerError(
                    .malformed, field: "tokenizer.json model.vocab",
                    "the byte \(byte) (\(ByteAlphabet.scalars[Int(byte)])) has no token")
            }
            tokens.append(id ?? -1)
        }
        return tokens
    }

    /// `literal` is nil if no merge makes an added token.
    func mergeTables(
        _ vocabulary: Vocabulary, added: [AddedToken]
    ) throws(TokenizerError) -> (all: MergeTable, literal: MergeTable?) {
        let pairs = model.merges.pairs
        let addedIDs = Dictionary(added.map { ($0.id, $0.isSpecial) }) { first, _ in first }
        var all = MergeTable(capacity: pairs.count)
        var checked: [(left: Int32, right: Int32, merged: Int32)] = []
        checked.reserveCapacity(pairs.count)
        for (rank, pair) in pairs.enumerated() {
            func refuse(_ what: String) -> TokenizerError {
                TokenizerError(.malformed, field: "tokenizer.json model.merges[\(rank)]", what)
            }
            guard pair.count == 2 else { throw refuse("two tokens are expected, \(pair.count) found") }
            var ids: [Int32] = []
            for text in pair + [pair[0] + pair[1]] {
                guard let id = ByteAlphabet.mapped(text).flatMap({ vocabulary.id(of: $0) }) else {
                    throw refuse("\(text) isn't a token of the vocabulary")
                }
                ids.append(id)
            }
            if addedIDs[ids[2]] == true { throw refuse("it makes the special token \(pair[0] + pair[1])") }
            checked.append((ids[0], ids[1], ids[2]))
            all.insert(ids[0], ids[1], rank: rank, merged: ids[2])
        }
        guard checked.contains(where: { addedIDs[$0.merged] != nil }) else { return (all, nil) }
        var literal = MergeTable(capacity: pairs.count)
        for (rank, merge) in checked.enumerated() where addedIDs[merge.merged] == nil {
            literal.insert(merge.left, merge.right, rank: rank, merged: merge.merged)
        }
        return (all, literal)
    }

    /// What comes before a text, from the post-processor.
    func prefixTokens(vocabularySize: Int) throws(TokenizerError) -> [Int32] {
        guard let postProcessor else { return [] }
        var prefix: [Int32] = []
        for processor in postProcessor.type == "Sequence" ? postProcessor.processors ?? [] : [postProcessor] {
            switch processor.type {
            case "ByteLevel": continue  // Only moves offsets, which nobody here asks for.
            case "TemplateProcessing" where prefix.isEmpty:
                prefix = try processor.prefixTokens(vocabularySize: vocabularySize)
            default:
                throw TokenizerError(
                    .unsupported, field: "tokenizer.json post_processor", "\(processor.type) isn't supported here")
            }
        }
        return prefix
    }
}

extension TokenizerFile.Normalizer {
    fileprivate var isIdentity: Bool { type == "Sequence" && (normalizers ?? []).allSatisfy(\.isIdentity) }
}

extension TokenizerFile.PostProcessor {
    fileprivate func prefixTokens(vocabularySize: Int) throws(TokenizerError) -> [Int32] {
        let field = "tokenizer.json post_processor.single"
        guard let single, single.last?.sequence?.id == "A", single.dropLast().allSatisfy({ $0.specialToken != nil })
        else {
            throw TokenizerError(
                .unsupported, field: field, "only special tokens followed by the sequence A are supported")
        }
        var prefix: [Int32] = []
        for name in single.compactMap(\.specialToken?.id) {
            guard let ids = specialTokens?[name]?.ids, ids.allSatisfy((0..<vocabularySize).contains), ids.count <= 16
            else { throw TokenizerError(.malformed, field: field, "\(name) has no valid ids in special_tokens") }
            prefix += ids.map { Int32($0) }
        }
        return prefix
    }
}

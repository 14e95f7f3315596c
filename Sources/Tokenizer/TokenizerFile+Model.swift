import JSON
import TokenText

/// From what the file says of its model to what encodes pieces.
extension TokenizerFile {
    func pieceModel(_ vocabulary: Vocabulary, isByteLevel: Bool) throws(TokenizerError) -> PieceModel {
        switch kind {
        case .bytePair: .bytePair(try bytePairModel(vocabulary, isByteLevel: isByteLevel))
        case .unigram: .unigram(try unigramModel(vocabulary, isByteLevel: isByteLevel))
        }
    }

    // MARK: Byte-pair encoding

    private func bytePairModel(
        _ vocabulary: Vocabulary, isByteLevel: Bool
    ) throws(TokenizerError) -> BytePairModel {
        if let dropout = model["dropout"].value.number, dropout != 0 {
            throw model["dropout"].unsupported("\(dropout)")
        }
        for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let text = try model[name].stringIfPresent(), !text.isEmpty { throw model[name].unsupported(text) }
        }
        let start: PieceEncoder.Start
        if isByteLevel {
            if try model["byte_fallback"].bool(default: false) {
                throw model["byte_fallback"].unsupported("true, for a byte-level vocabulary,")
            }
            start = .bytes(try byteLevelTokens(vocabulary))
        } else {
            start = .characters(try characterTokens(vocabulary))
        }
        let merges = try mergeTables(vocabulary, start, isByteLevel: isByteLevel)
        let ignoresMerges = try model["ignore_merges"].bool(default: false)
        return BytePairModel(
            encoder: PieceEncoder(start: start, merges: merges.all, joints: merges.joints),
            literalEncoder: merges.literal.map { PieceEncoder(start: start, merges: $0, joints: merges.joints) },
            ignoresMerges: ignoresMerges, isAdded: isAdded,
            cutsWords: !isByteLevel && !ignoresMerges && !merges.crossWords
                && vocabulary.id(of: BytePairModel.wordMark) != nil)
    }

    /// By id.
    private var isAdded: [Bool] {
        var flags = [Bool](repeating: false, count: tokens.count)
        for token in addedTokens { flags[Int(token.id)] = true }
        return flags
    }

    /// The token of each byte. A byte that can't occur in UTF-8 needs none (−1).
    private func byteLevelTokens(_ vocabulary: Vocabulary) throws(TokenizerError) -> [Int32] {
        var tokens: [Int32] = []
        for byte in UInt8.min ... .max {
            let id = vocabulary.id(of: CollectionOfOne(byte))
            if id == nil, byte < 0xF5, byte != 0xC0, byte != 0xC1 {
                throw model["vocab"].malformed("the byte \(byte) (\(ByteAlphabet.scalars[Int(byte)])) has no token")
            }
            tokens.append(id ?? -1)
        }
        return tokens
    }

    private func characterTokens(_ vocabulary: Vocabulary) throws(TokenizerError) -> CharacterTokens {
        let unknown = try unknownToken(vocabulary)
        let bytes =
            try model["byte_fallback"].bool(default: false) ? ByteFallback.tokens(vocabulary) : []
        // What has neither would go without a word.
        guard unknown != nil || (!bytes.isEmpty && !bytes.contains(-1)) else {
            throw model["unk_token"].malformed("a token for unknown characters is expected, or one for every byte")
        }
        return CharacterTokens(
            vocabulary: vocabulary, bytes: bytes, unknown: unknown,
            fusesUnknown: try model["fuse_unk"].bool(default: false))
    }

    private func unknownToken(_ vocabulary: Vocabulary) throws(TokenizerError) -> Int32? {
        guard let text = try model["unk_token"].stringIfPresent() else { return nil }
        guard let id = vocabulary.id(of: Array(text.utf8)) else {
            throw model["unk_token"].malformed("\(text) isn't a token of the vocabulary")
        }
        return id
    }

    /// `literal` is nil if no merge makes an added token; `crossWords` is whether one puts a word mark after something
    /// else.
    private func mergeTables(
        _ vocabulary: Vocabulary, _ start: PieceEncoder.Start, isByteLevel: Bool
    ) throws(TokenizerError) -> (all: MergeTable, literal: MergeTable?, joints: MergeTable?, crossWords: Bool) {
        let field = model["merges"]
        let pairs = try field.elements()
        let special = Dictionary(addedTokens.map { ($0.id, $0.isSpecial) }) { first, _ in first }
        var all = MergeTable(capacity: pairs.count)
        var checked: [(left: Int32, right: Int32, merged: Int32)] = []
        checked.reserveCapacity(pairs.count)
        var crossWords = false
        var joints = Optional(MergeTable(capacity: min(pairs.count, 1 << 17)))
        var jointCount = 0
        for (rank, pair) in pairs.enumerated() {
            let (left, right) = try Self.parts(of: pair)
            func id(_ text: String) throws(TokenizerError) -> Int32 {
                let bytes = isByteLevel ? ByteAlphabet.mapped(text) : Array(text.utf8)
                guard let id = bytes.flatMap({ vocabulary.id(of: $0) }) else {
                    throw pair.malformed("\(text) isn't a token of the vocabulary")
                }
                return id
            }
            let merge = (left: try id(left), right: try id(right), merged: try id(left + right))
            if special[merge.merged] == true { throw pair.malformed("it makes the special token \(left)\(right)") }
            if !isByteLevel, !crossWords { crossWords = BytePairModel.crossesWords(Array((left + right).utf8)) }
            if let ends = start.ends(of: vocabulary[merge.left] ?? [], merge.left),
                let heads = start.ends(of: vocabulary[merge.right] ?? [], merge.right)
            {
                if joints?.find(ends.last, heads.first) == MergeTable.none {
                    jointCount += 1
                    if jointCount > 1 << 17 { joints = nil }
                    joints?.insert(ends.last, heads.first, rank: 0, merged: 0)
                }
            } else {
                joints = nil
            }
            checked.append(merge)
            all.insert(merge.left, merge.right, rank: rank, merged: merge.merged)
        }
        guard checked.contains(where: { special[$0.merged] != nil }) else { return (all, nil, joints, crossWords) }
        var literal = MergeTable(capacity: pairs.count)
        for (rank, merge) in checked.enumerated() where special[merge.merged] == nil {
            literal.insert(merge.left, merge.right, rank: rank, merged: merge.merged)
        }
        return (all, literal, joints, crossWords)
    }

    /// `["a", "b"]` or, as older tools write it, `"a b"`.
    private static func parts(of pair: FileField) throws(TokenizerError) -> (left: String, right: String) {
        let parts: [String]
        if let line = pair.value.string {
            parts = line.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }
        } else {
            var texts: [String] = []
            for element in try pair.elements() { texts.append(try element.string()) }
            parts = texts
        }
        guard parts.count == 2 else { throw pair.malformed("two tokens are expected, \(parts.count) found") }
        return (parts[0], parts[1])
    }

    // MARK: Unigram

    private func unigramModel(_ vocabulary: Vocabulary, isByteLevel: Bool) throws(TokenizerError) -> UnigramModel {
        if isByteLevel { throw model["type"].unsupported("Unigram with a byte-level pre-tokenizer") }
        let field = model["vocab"]
        let scored = try field.elements().count
        let unknown = try model["unk_id"].integer()
        guard (0..<scored).contains(unknown) else {
            throw model["unk_id"].malformed("0 to \(scored - 1) is expected, \(unknown) found")
        }
        var trie = TokenTrie()
        for id in 0..<scored {
            let content = Array((tokens[id] ?? "").utf8)
            guard content.count <= TokenTrie.longestToken else {
                throw TokenizerError(
                    .tooLarge, field: "\(field.path)[\(id)]",
                    "\(content.count) bytes, where at most \(TokenTrie.longestToken) are accepted")
            }
            trie.insert(content, Int32(id))
        }
        return UnigramModel(
            trie: trie, vocabulary: vocabulary, scores: scores, leastScore: scores[..<scored].min() ?? 0,
            unknown: Int32(unknown),
            bytes: try model["byte_fallback"].bool(default: false) ? ByteFallback.tokens(vocabulary) : [],
            isAdded: isAdded)
    }
}

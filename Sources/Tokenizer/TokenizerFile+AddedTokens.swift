import JSON

extension TokenizerFile {
    static func addedTokens(_ field: FileField) throws(TokenizerError) -> [AddedToken] {
        let entries = try field.elements()
        guard entries.count <= AddedTokenMatcher.largestCount else {
            throw TokenizerError(
                .tooLarge, field: field.path,
                "\(entries.count) tokens, where at most \(AddedTokenMatcher.largestCount) are accepted")
        }
        var tokens: [AddedToken] = []
        for entry in entries {
            let text = try entry["content"].string()
            let content = Array(text.utf8)
            guard let id = Int32(exactly: try entry["id"].integer()) else {
                throw entry["id"].mismatch("an id of 32 bits")
            }
            guard (1...AddedTokenMatcher.longestContent).contains(content.count) else {
                throw entry.malformed(
                    "the token \(id) has \(content.count) bytes, where 1 to "
                        + "\(AddedTokenMatcher.longestContent) are accepted")
            }
            let isSpecial = try entry["special"].bool(default: false)
            let token = AddedToken(
                id: id, content: content, isSpecial: isSpecial,
                isSingleWord: try entry["single_word"].bool(default: false),
                stripsLeft: try entry["lstrip"].bool(default: false),
                stripsRight: try entry["rstrip"].bool(default: false),
                isNormalized: try entry["normalized"].bool(default: !isSpecial))
            if token.stripsLeft || token.stripsRight,
                text.unicodeScalars.contains(where: \.properties.isWhitespace)
            {
                throw entry.unsupported("\(text), which holds white space and strips it too (lstrip, rstrip),")
            }
            tokens.append(token)
        }
        return tokens
    }

    /// No text may have two ids.
    func checkAddedTokens() throws(TokenizerError) {
        let field = root["added_tokens"]
        let added = Dictionary(addedTokens.map { ($0.content, $0.id) }) { first, _ in first }
        for token in addedTokens where added[token.content] != token.id {
            throw twoIDs(token.content, added[token.content] ?? -1, token.id, field)
        }
        for (id, text) in tokens.enumerated() {
            guard let text, let other = added[Array(text.utf8)], other != id else { continue }
            throw twoIDs(Array(text.utf8), Int32(id), other, field)
        }
    }

    private func twoIDs(_ content: [UInt8], _ one: Int32, _ other: Int32, _ field: FileField) -> TokenizerError {
        field.malformed("\(String(decoding: content, as: UTF8.self)) has the id \(one) and the id \(other)")
    }

    /// The added tokens, of which those that are looked for in the normalised text are normalised themselves.
    func addedTokens(_ normalizer: Normalizer) throws(TokenizerError) -> [AddedToken] {
        var tokens = addedTokens
        guard !normalizer.isIdentity, tokens.contains(where: \.isNormalized) else { return tokens }
        guard let matcher = PatternMatcher() else {
            throw TokenizerError(.tooLarge, field: "tokenizer.json", "there is no memory to load it")
        }
        for index in tokens.indices where tokens[index].isNormalized {
            let content = tokens[index].content
            matcher.prepare(byteCount: content.count)
            tokens[index].content = try unsafe content.withUnsafeBufferPointer { (bytes) throws(TokenizerError) in
                try unsafe normalizer.normalize(bytes, matcher: matcher)
            }
            guard !tokens[index].content.isEmpty else {
                throw root["added_tokens"].malformed(
                    "nothing is left of \(String(decoding: content, as: UTF8.self)) when it is normalised")
            }
        }
        return tokens
    }
}

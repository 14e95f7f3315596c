import JSON

/// `tokenizer.json`, taken apart. What it asks for and isn't done here is refused by name.
struct TokenizerFile {
    enum ModelKind {
        case bytePair, unigram
    }

    let root: FileField
    let model: FileField
    let kind: ModelKind
    let addedTokens: [AddedToken]
    /// Every token's text by its id, those of `added_tokens` included; nil where an id has none.
    let tokens: [String?]
    /// Of `.unigram`, by id: log-probabilities.
    let scores: [Double]

    init(_ json: [UInt8]) throws(TokenizerError) {
        root = try FileField(parsing: json, file: "tokenizer.json")
        model = root["model"]
        try model.object()
        switch try model["type"].stringIfPresent() ?? (model["vocab"].value.array == nil ? "BPE" : "Unigram") {
        case "BPE": kind = .bytePair
        case "Unigram": kind = .unigram
        case let type: throw model["type"].unsupported(type)
        }
        addedTokens = try Self.addedTokens(root["added_tokens"])
        var listing = TokenListing()
        switch kind {
        case .bytePair: try listing.add(object: model["vocab"])
        case .unigram: try listing.add(scored: model["vocab"])
        }
        try listing.add(addedTokens, field: root["added_tokens"])
        tokens = listing.tokens
        scores = listing.scores + Array(repeating: 0, count: listing.tokens.count - listing.scores.count)
        try checkAddedTokens()
    }
}

/// The tokens of a file as they are gathered.
private struct TokenListing {
    var tokens: [String?] = []
    var scores: [Double] = []

    /// Byte-pair encoding: ids by their texts.
    mutating func add(object field: FileField) throws(TokenizerError) {
        let members = try field.members()
        guard !members.isEmpty else { throw field.malformed("it is empty") }
        for member in members {
            guard let id = member.value.integer else {
                throw field.malformed("\(member.name) has no id: an integer is expected, \(member.value) found")
            }
            try place(member.name, at: id, field)
        }
    }

    /// Unigram: pairs of a text and a score, in the order of ids.
    mutating func add(scored field: FileField) throws(TokenizerError) {
        let entries = try field.elements()
        guard !entries.isEmpty else { throw field.malformed("it is empty") }
        for (id, entry) in entries.enumerated() {
            let pair = try entry.elements()
            guard pair.count == 2 else { throw entry.malformed("a token and its score are expected") }
            try place(try pair[0].string(), at: id, field)
            scores.append(try pair[1].number())
        }
    }

    mutating func add(_ added: [AddedToken], field: FileField) throws(TokenizerError) {
        for token in added { try place(String(decoding: token.content, as: UTF8.self), at: Int(token.id), field) }
    }

    private mutating func place(_ text: String, at id: Int, _ field: FileField) throws(TokenizerError) {
        guard (0..<Vocabulary.largestID).contains(id) else {
            throw field.malformed("\(text) has the id \(id), where 0 to \(Vocabulary.largestID - 1) is expected")
        }
        while tokens.count <= id { tokens.append(nil) }
        if let other = tokens[id], !other.utf8.elementsEqual(text.utf8) {
            throw field.malformed("\(text) and \(other) both have the id \(id)")
        }
        tokens[id] = text
    }
}

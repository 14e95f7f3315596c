extension TokenizerFile {
    /// GPT-2's own pattern, which `ByteLevel` applies where `use_regex` is set.
    private static let byteLevelPattern =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    func makePreTokenizer() throws(TokenizerError) -> PreTokenizer {
        let field = "tokenizer.json pre_tokenizer"
        var result = PreTokenizer()
        var isByteLevel = false
        for (index, stage) in (preTokenizer?.flattened ?? []).enumerated() {
            let field = "\(field)[\(index)]"
            func refuse(_ what: String) -> TokenizerError {
                TokenizerError(.unsupported, field: field, "\(what) isn't supported")
            }
            if isByteLevel { throw refuse("\(stage.type) after ByteLevel") }
            switch stage.type {
            case "Split":
                guard stage.behavior == "Isolated" else { throw refuse("behavior \(stage.behavior ?? "null")") }
                guard stage.invert != true else { throw refuse("invert") }
                if let regex = stage.pattern?.regex {
                    try result.addPattern(regex, field: field)
                } else if let string = stage.pattern?.string {
                    try result.addLiteral(string, field: field)
                } else {
                    throw TokenizerError(.malformed, field: field, "Split needs a pattern, a Regex or a String")
                }
            case "Digits":
                try result.addPattern(stage.individualDigits == true ? #"\p{N}"# : #"\p{N}+"#, field: field)
            case "ByteLevel":
                guard stage.addPrefixSpace == false else { throw refuse("add_prefix_space") }
                if stage.useRegex != false { try result.addPattern(Self.byteLevelPattern, field: field) }
                isByteLevel = true
            default: throw refuse(stage.type)
            }
        }
        guard isByteLevel else {
            throw TokenizerError(
                .unsupported, field: field, "only byte-level tokenizers (ByteLevel last) are supported")
        }
        return result
    }
}

extension TokenizerFile.PreTokenizerEntry {
    /// The stages in order, whatever sequences they are wrapped in.
    fileprivate var flattened: [TokenizerFile.PreTokenizerEntry] {
        type == "Sequence" ? (pretokenizers ?? []).flatMap(\.flattened) : [self]
    }
}

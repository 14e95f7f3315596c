extension TokenizerFile {
    /// GPT-2's own pattern, which `ByteLevel` applies where `use_regex` is set.
    private static let byteLevelPattern =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    /// - Returns: also whether the pieces are encoded as bytes, not as characters.
    func preTokenizer() throws(TokenizerError) -> (preTokenizer: PreTokenizer, isByteLevel: Bool) {
        var result = PreTokenizer()
        var isByteLevel = false
        for stage in try root["pre_tokenizer"].steps("pretokenizers") {
            let type = try stage["type"].string()
            if isByteLevel { throw stage.unsupported("\(type) after ByteLevel") }
            if result.metaspace != nil { throw stage.unsupported("\(type) after Metaspace") }
            func add(_ pattern: String, _ behavior: SplitBehavior = .isolated) throws(TokenizerError) {
                let patterns = try PreTokenizer.Patterns(pattern, field: stage.path)
                try result.add(.init(patterns: patterns, behavior: behavior, isInverted: false), field: stage.path)
            }
            switch type {
            case "Split": try result.add(Self.split(stage), field: stage.path)
            case "Digits": try add(try stage["individual_digits"].bool(default: false) ? #"\p{N}"# : #"\p{N}+"#)
            case "WhitespaceSplit": try add(#"\s+"#, .removed)
            case "Metaspace": result.metaspace = try Metaspace(stage)
            case "ByteLevel":
                guard try !stage["add_prefix_space"].bool(default: true) else {
                    throw stage["add_prefix_space"].unsupported("true")
                }
                if try stage["use_regex"].bool(default: true) { try add(Self.byteLevelPattern) }
                isByteLevel = true
            default: throw stage.unsupported(type)
            }
        }
        return (result, isByteLevel)
    }

    private static func split(_ stage: FileField) throws(TokenizerError) -> PreTokenizer.Stage {
        let behaviorName = try stage["behavior"].string()
        guard let behavior = SplitBehavior(rawValue: behaviorName) else {
            throw stage["behavior"].unsupported(behaviorName)
        }
        let patterns: PreTokenizer.Patterns
        if let regex = try stage["pattern"]["Regex"].stringIfPresent() {
            patterns = try PreTokenizer.Patterns(regex, field: stage.path)
        } else if let text = try stage["pattern"]["String"].stringIfPresent() {
            patterns = try PreTokenizer.Patterns(literal: text, field: stage.path)
        } else {
            throw stage.malformed("Split needs a pattern, a Regex or a String")
        }
        return PreTokenizer.Stage(
            patterns: patterns, behavior: behavior, isInverted: try stage["invert"].bool(default: false))
    }
}

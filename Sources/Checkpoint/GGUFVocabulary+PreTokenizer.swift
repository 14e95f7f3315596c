import JSON

/// The pre-tokenizers that GGUF files know by name (`tokenizer.ggml.pre`), as the patterns that `tokenizer.json` has.
extension GGUFVocabulary {
    struct BytePairStages {
        var normalizer = JSONValue.null
        var preTokenizer: JSONValue
        /// Whether a piece that is a token isn't merged but taken whole.
        var ignoresMerges = false
    }

    func bytePairStages() throws(CheckpointError) -> BytePairStages {
        let composed: JSONValue = ["type": "NFC"]
        switch preTokenizer {
        case "deepseek-llm":
            return Self.stages([
                Self.lineEnd, #"\s?[\#(Self.cased)]+"#,
                #"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+"#, #"\s+$"#,
                Self.wide, #"\p{N}"#,
            ])
        case "deepseek-coder":
            return Self.stages([Self.lineEnd, #"\s?\p{L}+"#, #"\s?\p{P}+"#, Self.wide, #"\p{N}"#])
        case "deepseek-v3":
            let marked = #"[!-/:-@\x{5B}-\x{60}{-~][A-Za-z]+"#
            return Self.stages([
                #"\p{N}{1,3}"#, #"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+"#,
                marked + #"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"# + Self.lines + Self.spaces,
            ])
        case "qwen2", "deepseek-r1-qwen":
            var stages = Self.stages([Self.words(digits: "")])
            stages.normalizer = composed
            return stages
        case "llama3", "llama-v3", "llama-bpe", "lfm2":
            var stages = Self.stages([Self.words(digits: "{1,3}")])
            stages.ignoresMerges = true
            return stages
        case "glm4", "chatglm-bpe": return Self.stages([Self.words(digits: "{1,3}")])
        case "gpt-4o":
            return Self.stages([
                Self.casedWords("") + Self.numbersAndMarks("/") + Self.lines + Self.spaces
            ])
        case "kimi-k2":
            var stages = Self.stages([
                #"\p{Han}+|"# + Self.casedWords(#"&&[^\p{Han}]"#) + Self.numbersAndMarks("") + Self.lines + Self.spaces
            ])
            stages.ignoresMerges = true
            return stages
        case "gpt-2", "olmo":
            var stages = BytePairStages(preTokenizer: Self.byteLevel(usesPattern: true))
            if preTokenizer == "olmo" { stages.normalizer = composed }
            return stages
        case "bailingmoe", "llada-moe":
            let contractions = "'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])"
            return Self.stages([
                contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]"# + Self.spaces
            ])
        default:
            throw failure(
                "pre", "a pre-tokenizer that isn't known here",
                expected: "bailingmoe, chatglm-bpe, deepseek-coder, deepseek-llm, deepseek-r1-qwen, deepseek-v3, glm4, "
                    + "gpt-2, gpt-4o, kimi-k2, lfm2, llada-moe, llama3, llama-bpe, llama-v3, olmo or qwen2",
                found: "'\(preTokenizer)'")
        }
    }

    static func byteLevel(usesPattern: Bool) -> JSONValue {
        [
            "type": "ByteLevel", "add_prefix_space": .bool(false), "trim_offsets": .bool(true),
            "use_regex": .bool(usesPattern),
        ]
    }

    /// Each pattern cuts what the ones before it left; the pieces are bytes then.
    private static func stages(_ patterns: [String]) -> BytePairStages {
        let splits = patterns.map { pattern in
            ["type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated", "invert": .bool(false)]
                as JSONValue
        }
        return BytePairStages(preTokenizer: .sequence("pretokenizers", splits + [byteLevel(usesPattern: false)]))
    }

    private static let lineEnd = #"[\r\n]"#
    private static let lines = #"|\s*[\r\n]+"#
    private static let spaces = #"|\s+(?!\S)|\s+"#

    private static func words(digits: String) -> String {
        "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
            + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}\#(digits)| ?[^\s\p{L}\p{N}]+[\r\n]*"# + lines + spaces
    }

    /// Words in whose middle no capital follows a small letter.
    ///
    /// - Parameter restriction: of both classes of letters.
    private static func casedWords(_ restriction: String) -> String {
        let capitals = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}\#(restriction)]"#
        let smalls = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}\#(restriction)]"#
        let before = #"[^\r\n\p{L}\p{N}]?"#
        let after = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        return "\(before)\(capitals)*\(smalls)+\(after)|\(before)\(capitals)+\(smalls)*\(after)"
    }

    private static func numbersAndMarks(_ more: String) -> String {
        #"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n\#(more)]*"#
    }

    /// Far more than Chinese, Japanese and Korean: everything from U+0800 on is in it.
    private static let wide = #"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+"#

    /// The letters of alphabets that have capitals.
    private static let cased =
        #"A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}"#
        + #"\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}"#
        + #"\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}"#
        + #"\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}"#
        + #"\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}"#
        + #"\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}"#
        + #"\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}"#
        + #"\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}"#
        + #"\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}"#
        + #"\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}"#
        + #"\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}"#
        + #"\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}"#
        + #"\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}"#
}

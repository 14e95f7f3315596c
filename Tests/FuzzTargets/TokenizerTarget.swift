import TestSupport
import Tokenizer

/// Every tokenizer that is read must encode texts to ids of its own, and decode them.
struct TokenizerTarget: FuzzTarget {
    let samples: [[UInt8]]
    let words = [
        "Sequence", "Split", "ByteLevel", "Digits", "Isolated", #""Regex":"\\p{L}+""#, #""String":" ""#, "(?:", "(?!",
        "{1,3}",
        "[^", "*", "+", "|", #"\\s"#, #""special":true"#, #""lstrip":true"#, #""rstrip":true"#, #""normalized":true"#,
        "<a>", #""ignore_merges":true"#, "TemplateProcessing",
    ]

    init() {
        // GPT-2's alphabet: printable bytes stand for themselves, the others follow from U+0100 on.
        let plain = Set((33...126).map { $0 } + (161...172).map { $0 } + (174...255).map { $0 })
        var next: UInt32 = 256
        let alphabet = (0..<256).map { (byte: Int) -> String in
            var scalar = UInt32(byte)
            if !plain.contains(byte) { (scalar, next) = (next, next + 1) }
            let text = Unicode.Scalar(scalar).map { String(Character($0)) } ?? ""
            return text == "\"" || text == "\\" ? "\\" + text : text
        }
        let tokens = alphabet + ["he", "hel", "lo", "Ġw"]
        let vocabulary = tokens.enumerated().map { "\"\($1)\":\($0)" }.joined(separator: ",")
        let model =
            #""model":{"merges":[["h","e"],["he","l"],["l","o"],["Ġ","w"]],"type":"BPE","vocab":{\#(vocabulary)}}"#
        let added =
            #"[{"id":260,"content":"<a>","special":true},{"id":261,"content":"<b>","single_word":true,"lstrip":true}]"#
        let split =
            #"{"type":"Split","pattern":{"Regex":"[\\p{L}\\p{N}]+|\\s+(?!\\S)| ?[^\\s]"},"behavior":"Isolated"}"#
        let byteLevel = #"{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}"#
        let template =
            #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<a>"}},{"Sequence":{"id":"A"}}],"#
            + #""special_tokens":{"<a>":{"ids":[260]}}}"#
        samples = [
            #"{"added_tokens":\#(added),"pre_tokenizer":{"type":"Sequence","pretokenizers":[\#(split),\#(byteLevel)]},"#
                + #""post_processor":\#(template),"decoder":{"type":"ByteLevel"},\#(model)}"#,
            #"{"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},"#
                + #"{"type":"ByteLevel","add_prefix_space":false}]},"decoder":{"type":"ByteLevel"},\#(model)}"#,
        ].map { Array($0.utf8) }
    }

    /// Mostly before the vocabulary, which is long and all alike.
    func mutate(_ sample: [UInt8], _ mutator: inout Mutator) -> [UInt8] {
        guard mutator.chance(7, in: 8), let end = sample.firstRange(of: #""h","e""#.utf8)?.upperBound else {
            return mutator.mutate(sample)
        }
        return mutator.mutate(Array(sample[..<end])) + sample[end...]
    }

    func feed(_ bytes: [UInt8]) throws -> Bool {
        guard let tokenizer = try? BytePairTokenizer(tokenizerJSON: bytes, configJSON: nil) else { return false }
        for mode in [SpecialTokens.parsed, .asText, .literal] {
            guard let ids = try? tokenizer.encode("<a>hello wo 12\u{1FAE8}\r\n <b>", special: mode, addBegin: true)
            else {
                continue
            }
            guard ids.allSatisfy({ (0..<Int32(tokenizer.vocabularySize)).contains($0) }) else {
                throw FuzzFailure("the ids \(ids) aren't all of the vocabulary")
            }
            _ = tokenizer.decode(ids, skipSpecial: false)
        }
        return true
    }
}

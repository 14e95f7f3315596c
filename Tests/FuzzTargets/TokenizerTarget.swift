import FoundationEssentials
import TestSupport
import TokenText
import Tokenizer

/// Every tokenizer that is read must encode texts to ids of its own, and decode them.
struct TokenizerTarget: FuzzTarget {
    let samples: [[UInt8]]
    let words = [
        "Sequence", "Split", "ByteLevel", "Digits", "Isolated", #""Regex":"\\p{L}+""#, #""String":" ""#, "(?:", "(?!",
        "{1,3}",
        "[^", "*", "+", "|", #"\\s"#, #""special":true"#, #""lstrip":true"#, #""rstrip":true"#, #""normalized":true"#,
        "<a>", #""ignore_merges":true"#, "TemplateProcessing", "Removed", "MergedWithNext", "&&[^", "Metaspace",
        "WhitespaceSplit", "Prepend", "Replace", "Precompiled", "NFC", "Strip", "ByteFallback", "Fuse", "▁", "<0x0A>",
        #""byte_fallback":true"#, #""prepend_scheme":"first""#, #""unk_id":0"#,
    ]

    init() {
        let alphabet = ByteAlphabet.scalars.map { ["\"", "\\"].contains($0) ? "\\\($0)" : "\($0)" }
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
            Self.characters, Self.unigram,
        ].map { Array($0.utf8) }
    }

    private static let added = #"[{"id":0,"content":"<a>","special":true},{"id":1,"content":"<b>","normalized":true}]"#

    /// Byte-pair encoding of characters.
    private static let characters =
        #"{"added_tokens":\#(added),"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},"#
        + #"{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"#
        + #""decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},"#
        + #"{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},"#
        + #""model":{"type":"BPE","unk_token":"<b>","fuse_unk":true,"byte_fallback":true,"ignore_merges":false,"#
        + #""merges":[["h","e"],["l","o"],["▁","w"]],"vocab":{"<a>":0,"<b>":1,"<0x0A>":2,"<0xC3>":3,"h":4,"e":5,"#
        + #""l":6,"o":7,"▁":8,"w":9,"he":10,"lo":11,"▁w":12,"1":13,"2":14}}}"#

    /// Its table of characters is that of "A" becoming "he", by hand: the root's offset is 1, its child by 0x41 at 0x40
    /// has a leaf at offset 1, whose value is the text's place.
    private static let unigram: String = {
        var units = [UInt32](repeating: 0, count: 0x42)
        units[0] = 1 << 10
        units[0x40] = 1 << 10 | 1 << 8 | 0x41
        units[0x41] = 0x8000_0000
        let bytes = [UInt32(units.count * 4)] + units
        let words = bytes.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
        let table = words + Array("he\0".utf8)
        return #"{"added_tokens":\#(added),"normalizer":{"type":"Sequence","normalizers":["#
            + #"{"type":"Precompiled","precompiled_charsmap":"\#(Data(table).base64EncodedString())"},"#
            + #"{"type":"Strip","strip_left":false,"strip_right":true},"#
            + #"{"type":"Replace","pattern":{"Regex":" {2,}"},"content":"▁"}]},"#
            + #""pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},"#
            + #"{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}]},"#
            + #""decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},"#
            + #""model":{"type":"Unigram","unk_id":1,"byte_fallback":false,"#
            + #""vocab":[["<a>",0],["<b>",0],["▁",-2.5],["he",-3],["hel",-4.5],["l",-5],["lo",-4.25],["▁w",-3.5]]}}"#
    }()

    /// Mostly before the vocabulary, which is long and all alike.
    func mutate(_ sample: [UInt8], _ mutator: inout Mutator) -> [UInt8] {
        guard mutator.chance(7, in: 8), let end = sample.firstRange(of: #""h","e""#.utf8)?.upperBound else {
            return mutator.mutate(sample)
        }
        return mutator.mutate(Array(sample[..<end])) + sample[end...]
    }

    func feed(_ bytes: [UInt8]) throws -> Bool {
        guard let tokenizer = try? Tokenizer(tokenizerJSON: bytes, configJSON: nil) else { return false }
        for mode in [SpecialTokens.parsed, .asText, .literal] {
            guard
                let ids = try? tokenizer.encode(
                    "<a>hello Awo e\u{301} 12\u{1FAE8}\r\n <b>", special: mode, addBegin: true)
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

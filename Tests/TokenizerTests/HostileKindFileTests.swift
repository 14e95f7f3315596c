import Foundation
import TestSupport
import Testing
import Tokenizer

/// Bad files of the kinds that aren't byte-level are errors that name the field, too.
@Suite struct HostileKindFileTests {
    private static let long = String(repeating: "x", count: 1100)

    private func expectError(
        _ base: String, _ overrides: String, _ code: TokenizerError.Code, _ field: String
    ) throws {
        let path = "\(Fixtures.root)/Tests/Fixtures/tokenizer/\(base).json"
        let json = try DemoTokenizer.json(overrides: Array(overrides.utf8), of: path)
        let error = #expect(throws: TokenizerError.self, "\(overrides)") {
            try Tokenizer(tokenizerJSON: json, configJSON: nil)
        }
        #expect(error?.code == code, "\(overrides): \(String(describing: error))")
        #expect(error?.field == "tokenizer.json \(field)", "\(overrides): \(String(describing: error))")
    }

    @Test(arguments: [
        (#"{"normalizer": {"type": "Prepend"}}"#, "normalizer.prepend"),
        (#"{"normalizer": {"type": "Replace", "content": ""}}"#, "normalizer.pattern.String"),
        (#"{"normalizer": {"type": "Replace", "pattern": {"String": ""}, "content": ""}}"#, "normalizer.pattern"),
        (#"{"normalizer": {"type": "Precompiled", "precompiled_charsmap": "!"}}"#, "normalizer.precompiled_charsmap"),
        (
            #"{"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}"#,
            "normalizer.precompiled_charsmap"
        ),
        (
            #"{"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAAAAAAAAA="}}"#,
            "normalizer.precompiled_charsmap"
        ),
        (
            #"{"normalizer": {"type": "Precompiled", "precompiled_charsmap": "CAAAAAAAAAA="}}"#,
            "normalizer.precompiled_charsmap"
        ),
        (#"{"model": {"byte_fallback": false, "unk_token": null}}"#, "model.unk_token"),
        (#"{"model": {"unk_token": "nothing"}}"#, "model.unk_token"),
        (#"{"model": {"merges": [["x", "nothing"]]}}"#, "model.merges[0]"),
        (#"{"pre_tokenizer": {"type": "Metaspace", "replacement": "ab"}}"#, "pre_tokenizer.replacement"),
        (#"{"pre_tokenizer": {"type": "Metaspace", "split": 1}}"#, "pre_tokenizer.split"),
        (#"{"decoder": {"type": "Sequence", "decoders": 7}}"#, "decoder.decoders"),
        (#"{"post_processor": {"type": "TemplateProcessing", "single": 7}}"#, "post_processor.single"),
    ])
    func whatIsMalformedIsNamed(overrides: String, field: String) throws {
        try expectError("characters", overrides, .malformed, field)
    }

    @Test(arguments: [
        (#"{"normalizer": {"type": "Lowercase"}}"#, "normalizer"),
        (#"{"decoder": {"type": "ByteLevel"}}"#, "decoder"),
        (#"{"decoder": {"type": "Sequence", "decoders": []}}"#, "decoder"),
        (#"{"decoder": {"type": "Strip", "content": " ", "start": 1, "stop": 0}}"#, "decoder"),
        (
            #"{"decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]}}"#,
            "decoder.decoders[1]"
        ),
        (
            #"{"decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": " ", "#
                + #""start": 0, "stop": 1}]}}"#, "decoder.decoders[1].stop"
        ),
        (#"{"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "sometimes"}}"#, "pre_tokenizer.prepend_scheme"),
        (
            #"{"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Metaspace"}, {"type": "ByteLevel"}]}}"#,
            "pre_tokenizer.pretokenizers[1]"
        ),
    ])
    func whatIsntDoneIsNamed(overrides: String, field: String) throws {
        try expectError("characters", overrides, .unsupported, field)
    }

    @Test(arguments: [
        (#"{"model": {"unk_id": null}}"#, "model.unk_id"), (#"{"model": {"unk_id": -1}}"#, "model.unk_id"),
        (#"{"model": {"unk_id": 5000}}"#, "model.unk_id"), (#"{"model": {"vocab": {}}}"#, "model.vocab"),
        (#"{"model": {"vocab": []}}"#, "model.vocab"), (#"{"model": {"vocab": [["a"]]}}"#, "model.vocab[0]"),
        (#"{"model": {"vocab": [["a", "b"]]}}"#, "model.vocab[0][1]"),
        (#"{"model": {"vocab": [[1, 1]]}}"#, "model.vocab[0][0]"),
    ])
    func aBadUnigramIsNamed(overrides: String, field: String) throws {
        try expectError("unigram", overrides, .malformed, field)
    }

    @Test func unigramOfBytesIsNamed() throws {
        try expectError(
            "unigram", #"{"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}}"#, .unsupported,
            "model.type")
    }

    @Test func whatIsTooLargeIsNamed() throws {
        try expectError(
            "characters", #"{"normalizer": {"type": "Prepend", "prepend": "\#(Self.long)"}}"#, .tooLarge,
            "normalizer.prepend")
        let steps = Array(repeating: #"{"type": "NFC"}"#, count: 17).joined(separator: ",")
        try expectError(
            "characters", #"{"normalizer": {"type": "Sequence", "normalizers": [\#(steps)]}}"#, .tooLarge,
            "normalizer.normalizers[16]")
        try expectError(
            "unigram", #"{"added_tokens": [], "model": {"unk_id": 0, "vocab": [["\#(Self.long)", 0]]}}"#, .tooLarge,
            "model.vocab[0]")
    }

    /// Whatever a damaged file still loads as, it encodes text without a crash.
    @Test(arguments: ["characters", "unigram"])
    func damagedFilesNeverCrash(base: String) throws {
        let path = "\(Fixtures.root)/Tests/Fixtures/tokenizer/\(base).json"
        let json = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        let text = "<s>Once upon a time, é e\u{301} 12 \u{1FAE8}\r\n</s>"
        var loaded = 0
        for seed in 0..<300 as Range<UInt64> {
            var mutator = Mutator(seed: seed)
            guard let tokenizer = try? Tokenizer(tokenizerJSON: mutator.mutate(json), configJSON: nil) else {
                continue
            }
            loaded += 1
            for mode in [SpecialTokens.parsed, .asText, .literal] {
                if let ids = try? tokenizer.encode(text, special: mode, addBegin: true) {
                    #expect(ids.allSatisfy { (0..<Int32(tokenizer.vocabularySize)).contains($0) })
                    _ = tokenizer.decode(ids, skipSpecial: false)
                }
            }
        }
        #expect(loaded > 3)
    }
}

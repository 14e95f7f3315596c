import TestSupport
import Testing
import Tokenizer

@Suite struct StreamingDetokenizerTests {
    let tokenizer: Tokenizer
    /// The token of each byte that has one.
    let byteTokens: [UInt8: Int32]

    init() throws {
        let tokenizer = try DemoTokenizer.load()
        var tokens: [UInt8: Int32] = [:]
        for id in 0..<Int32(tokenizer.vocabularySize) {
            let bytes = tokenizer.bytes(of: id)
            if bytes.count == 1 { tokens[bytes[0]] = id }
        }
        self.tokenizer = tokenizer
        byteTokens = tokens
    }

    private func stream(_ bytes: [UInt8]) throws -> (parts: [String], rest: String) {
        var detokenizer = StreamingDetokenizer(tokenizer, skipSpecial: false)
        let parts = try bytes.map { detokenizer.append(try #require(byteTokens[$0])) }
        return (parts, detokenizer.finish())
    }

    @Test(arguments: [
        "é", "中", "😀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "a\u{301}", "\u{7FF}\u{800}\u{FFFF}\u{10000}\u{10FFFF}", "\u{D7FF}\u{E000}",
    ])
    func aCharacterComesWithItsLastByte(text: String) throws {
        let (parts, rest) = try stream(Array(text.utf8))
        var expected: [String] = []
        for scalar in text.unicodeScalars {
            expected += Array(repeating: "", count: UTF8.width(scalar) - 1) + [String(scalar)]
        }
        #expect(parts.map { Array($0.utf8) } == expected.map { Array($0.utf8) })
        #expect(rest.isEmpty)
    }

    /// Every sequence of up to three bytes that differ in kind, and random longer ones.
    @Test func invalidBytesBecomeWhatAWholeDecodeGives() throws {
        let kinds: [UInt8] = [
            0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4,
        ].filter { byteTokens[$0] != nil }
        var sequences = kinds.map { [$0] }
        sequences += kinds.flatMap { first in kinds.map { [first, $0] } }
        sequences += sequences.filter { $0.count == 2 }.flatMap { pair in kinds.map { pair + [$0] } }
        var generator = SplitMix(seed: 2)
        for _ in 0..<5000 {
            sequences.append((0..<8).compactMap { _ in kinds.randomElement(using: &generator) })
        }
        for bytes in sequences {
            let (parts, rest) = try stream(bytes)
            let whole = String(decoding: bytes, as: UTF8.self)
            #expect(DemoTokenizer.areIdentical(parts.joined() + rest, whole), "\(bytes)")
        }
    }

    private static func characters() throws -> Tokenizer {
        try #require(try KindFile.shared.get().kinds.first { $0.name == "characters" }).tokenizer()
    }

    /// The space before its first word isn't the text's own, unless the text goes on from another.
    @Test func aTextThatGoesOnKeepsItsSpace() throws {
        for name in ["characters", "unigram"] {
            let tokenizer = try #require(try KindFile.shared.get().kinds.first { $0.name == name }).tokenizer()
            let ids = try tokenizer.encode("the dog", special: .literal, addBegin: false)
            for (continuesText, expected) in [(false, "the dog"), (true, " the dog")] {
                var stream = StreamingDetokenizer(tokenizer, skipSpecial: true, continuesText: continuesText)
                #expect(ids.map { stream.append($0) }.joined() + stream.finish() == expected)
            }
        }
    }

    /// Tokens of single bytes are characters where all of a run is UTF-8.
    @Test func aRunOfBytesComesWithTheTokenAfterIt() throws {
        let tokenizer = try Self.characters()
        let bytes = try Array("😀".utf8).map { byte in
            try #require(tokenizer.id(of: "<0x\(String(byte, radix: 16, uppercase: true))>"))
        }
        let word = try #require(tokenizer.id(of: "▁the"))
        var stream = StreamingDetokenizer(tokenizer, skipSpecial: true)
        #expect(bytes.map { stream.append($0) }.joined().isEmpty && stream.append(word) == "😀 the")
        #expect(bytes.dropLast().map { stream.append($0) }.joined().isEmpty)
        #expect(stream.append(word) == "\u{FFFD}\u{FFFD}\u{FFFD} the" && stream.finish().isEmpty)
        #expect(bytes.map { stream.append($0) }.joined().isEmpty && stream.finish() == "😀")
        #expect(bytes.map { tokenizer.bytes(of: $0) } == Array("😀".utf8).map { [$0] })
    }

    @Test func specialTokensAreSkippedIfAsked() throws {
        let end = try #require(tokenizer.endToken)
        var skipping = StreamingDetokenizer(tokenizer, skipSpecial: true)
        var showing = StreamingDetokenizer(tokenizer, skipSpecial: false)
        #expect(skipping.append(end) == "")
        #expect(showing.append(end) == "<｜end▁of▁sentence｜>")
        #expect(skipping.append(-5) == "" && skipping.append(1 << 20) == "")
    }
}

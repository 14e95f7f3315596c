import Checkpoint
import Container
import Testing
import Tokenizer

/// What a converted checkpoint's tokenizer says besides ids of texts, which `KindTests` compares.
@Suite struct ConvertedCheckpointTests {
    @Test func theIDsBehindRanksAreSpecial() throws {
        let converted = try ConvertedCheckpoint.ranks()
        let tokenizer = converted.tokenizer
        let rows = converted.checkpoint.configuration.vocabularySize
        #expect(tokenizer.vocabularySize == rows)
        let first = try #require(tokenizer.id(of: "[BOS]"))
        #expect(Int(first) == rows - 256)
        #expect(tokenizer.beginToken == first && tokenizer.endToken == first + 1)
        #expect(tokenizer.prefix.isEmpty)
        let think = try #require(tokenizer.id(of: "<think>"))
        #expect(tokenizer.isSpecial(first) && !tokenizer.isSpecial(think))

        // Ids without a name have one made of their number.
        let last = "<|reserved_token_\(rows - 1)|>"
        #expect(tokenizer.isSpecial(Int32(rows - 1)))
        #expect(try tokenizer.encode("[BOS]\(last)", special: .parsed, addBegin: true) == [first, Int32(rows - 1)])
        let text = "a<think>\(last)"
        #expect(try tokenizer.encode(text, special: .asText, addBegin: false).count { $0 >= first } == 1)
        let literal = try tokenizer.encode(text, special: .literal, addBegin: false)
        #expect(literal.allSatisfy { $0 < first } && tokenizer.decode(literal, skipSpecial: true) == text)
        let next = "<|reserved_token_\(rows)|>"
        #expect(try tokenizer.encode(next, special: .parsed, addBegin: false).allSatisfy { $0 < first })

        #expect(converted.checkpoint.warnings.isEmpty)
        #expect(converted.checkpoint.text.chatTemplate?.contains("<|im_middle|>") == true)
        #expect(converted.checkpoint.files.contains { $0.name == "tiktoken.model" })
    }

    @Test func piecesBeginWithASpaceAndFallBackToBytes() throws {
        let tokenizer = try ConvertedCheckpoint.pieces().tokenizer
        #expect(tokenizer.prefix == [1] && tokenizer.endToken == 2)
        let ids = try tokenizer.encode("😀", special: .literal, addBegin: true)
        // The space is a piece, the character is four bytes, which come behind <unk>, <s> and </s>.
        #expect(ids.count == 6 && ids.suffix(4).elementsEqual("😀".utf8.map { 3 + Int32($0) }))
        #expect(tokenizer.decode(ids, skipSpecial: true) == "😀")
    }
}

import Foundation
import TestSupport
import Testing
import Tokenizer

@Suite struct TokenizerTests {
    let tokenizer: Tokenizer

    init() throws { tokenizer = try DemoTokenizer.load() }

    @Test func specialTokensAreFoundByTheirText() {
        #expect(tokenizer.vocabularySize == 4096)
        #expect(tokenizer.beginToken == tokenizer.id(of: "<｜begin▁of▁sentence｜>"))
        #expect(tokenizer.endToken == tokenizer.id(of: "<｜end▁of▁sentence｜>"))
        #expect(tokenizer.id(of: "<think>").map { !tokenizer.isSpecial($0) } == true)
        #expect(tokenizer.id(of: "<｜User｜>").map { tokenizer.isSpecial($0) } == true)
        #expect(tokenizer.id(of: " the").map { tokenizer.bytes(of: $0) } == Array(" the".utf8))
        #expect(tokenizer.id(of: "no such token") == nil)
        #expect(tokenizer.bytes(of: -1).isEmpty && tokenizer.bytes(of: 4096).isEmpty && !tokenizer.isSpecial(9999))
    }

    @Test func theBeginTokenComesOnceAndOnlyIfAsked() throws {
        let begin = try #require(tokenizer.beginToken)
        let plain = try tokenizer.encode("Once", special: .literal, addBegin: false)
        #expect(try tokenizer.encode("Once", special: .literal, addBegin: true) == [begin] + plain)
        #expect(try tokenizer.encode("", special: .parsed, addBegin: true) == [begin])
        #expect(try tokenizer.encode("", special: .parsed, addBegin: false).isEmpty)
    }

    @Test func theConfigMayAskForTheBeginToken() throws {
        let json = try DemoTokenizer.json(overrides: ["post_processor": NSNull()])
        for (value, count) in [("true", 1), ("false", 0)] {
            let config = #"{"add_bos_token": \#(value), "bos_token": {"content": "<｜begin▁of▁sentence｜>"}}"#
            let tokenizer = try Tokenizer(tokenizerJSON: json, configJSON: Array(config.utf8))
            #expect(try tokenizer.encode("", special: .literal, addBegin: true).count == count)
        }
    }

    /// Nobody forges a turn, nor thinking, with a message.
    @Test func literalTextHasNoAddedToken() throws {
        let file = try VectorFile.shared.get()
        let added = Set((0..<10).map(Int32.init))
        for vector in file.variants[0].texts {
            let ids = try tokenizer.encode(vector.text, special: .literal, addBegin: false)
            #expect(added.isDisjoint(with: ids), "\(vector.text)")
        }
        let special = Set(added.filter { tokenizer.isSpecial($0) })
        for vector in file.variants[0].texts {
            let ids = try tokenizer.encode(vector.text, special: .asText, addBegin: false)
            #expect(special.isDisjoint(with: ids), "\(vector.text)")
        }
    }

    @Test func anyNumberOfThreadsMayEncode() async throws {
        let texts = try VectorFile.shared.get().variants[0].texts.prefix(2000)
        let tokenizer = tokenizer
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    try texts.filter {
                        try tokenizer.encode($0.text, special: .parsed, addBegin: false) != $0.parsed
                    }.count
                }
            }
            for try await failures in group { #expect(failures == 0) }
        }
    }

    /// One with the size of the published DeepSeek-V3 vocabulary.
    @Test func aLargeVocabularyLoadsInTime() throws {
        var generator = SplitMix(seed: 1)
        let alphabet = (33...126).map { String(Unicode.Scalar(UInt8($0))) }
        var definition = try #require(
            try JSONSerialization.jsonObject(with: Data(DemoTokenizer.json())) as? [String: Any])
        var model = try #require(definition["model"] as? [String: Any])
        var vocabulary = try #require(model["vocab"] as? [String: Int])
        var merges = try #require(model["merges"] as? [[String]])
        var tokens = alphabet
        while vocabulary.count < 129_280 {
            guard let left = tokens.randomElement(using: &generator), left.utf8.count < 30,
                let right = alphabet.randomElement(using: &generator), vocabulary[left + right] == nil
            else { continue }
            vocabulary[left + right] = vocabulary.count
            merges.append([left, right])
            tokens.append(left + right)
        }
        model["vocab"] = vocabulary
        model["merges"] = merges
        definition["model"] = model
        let json = [UInt8](try JSONSerialization.data(withJSONObject: definition))
        var loaded: Tokenizer?
        let duration = try ProcessorTime.measure {
            loaded = try Tokenizer(tokenizerJSON: json, configJSON: nil)
        }
        print("a vocabulary of 129,280 tokens loads in \(duration)")
        #expect(duration < .seconds(10))
        #expect(loaded?.vocabularySize == 129_280)
    }
}

import Checkpoint
import Foundation
import TestSupport
import Testing
import Tokenizer

/// Tokenizers of every kind give the reference implementation's ids, and its texts back.
@Suite struct KindTests {
    let file: KindFile

    init() throws { file = try KindFile.shared.get() }

    @Test func thereAreEnoughTextsAndKinds() {
        #expect(file.texts.count >= 10_000)
        #expect(KindFile.own.count == 19 && KindFile.foreign.count == 12)
        #expect(file.kinds.allSatisfy { $0.textChecks.count == file.texts.count && $0.decodingChecks.count == 1000 })
    }

    @Test(arguments: KindFile.own)
    func idsAndTextsEqualTheReference(kind: KindFile.Kind) throws { try expectReference(kind) }

    @Test(.enabled(if: SharedData.exists, "\(SharedData.reason)"), arguments: KindFile.foreign)
    func publishedPatternsAndVocabulariesEqualTheReference(kind: KindFile.Kind) throws { try expectReference(kind) }

    private func expectReference(_ kind: KindFile.Kind) throws {
        let tokenizer = try kind.tokenizer()
        var failures: [String] = []
        for (text, expected) in zip(file.texts, kind.textChecks) {
            let ids = try tokenizer.encode(text, special: .parsed, addBegin: false)
            let decoded = tokenizer.decode(ids, skipSpecial: false)
            if KindFile.check(ids, decoded) != expected {
                failures.append("\(text.prefix(60).debugDescription): \(ids.prefix(30)), \(decoded.debugDescription)")
            }
        }
        #expect(failures.isEmpty, "\(failures.count) differ: \(failures.prefix(8).joined(separator: "\n"))")

        failures = []
        let lists = KindFile.decodings(count: kind.decodingChecks.count, vocabularySize: tokenizer.vocabularySize)
        for (index, (ids, expected)) in zip(lists, kind.decodingChecks).enumerated() {
            let skips = index % 2 == 1
            let decoded = tokenizer.decode(ids, skipSpecial: skips)
            var stream = StreamingDetokenizer(tokenizer, skipSpecial: skips)
            let streamed = ids.map { stream.append($0) }.joined() + stream.finish()
            if KindFile.check(ids, decoded) != expected || !DemoTokenizer.areIdentical(decoded, streamed) {
                failures.append("\(ids): \(decoded.debugDescription), \(streamed.debugDescription)")
            }
        }
        #expect(failures.isEmpty, "\(failures.count) differ: \(failures.prefix(8).joined(separator: "\n"))")
    }

    private struct Readable: Decodable {
        var kind: String
        var text: String
        var tokens: [String]
        var decoded: String
    }

    @Test func readableTextsEqualTheReference() throws {
        let path = "\(Fixtures.root)/Tests/Fixtures/tokenizer/kinds.json"
        let entries = try JSONDecoder().decode(
            [Readable].self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        #expect(entries.count >= 60)
        for kind in KindFile.own where kind.base != "demo" {
            let tokenizer = try kind.tokenizer()
            for entry in entries where entry.kind == kind.name {
                let ids = try tokenizer.encode(entry.text, special: .parsed, addBegin: true)
                #expect(ids == entry.tokens.map { tokenizer.id(of: $0) }, "\(kind.name): \(entry.text)")
                #expect(tokenizer.decode(ids, skipSpecial: true) == entry.decoded, "\(kind.name): \(entry.text)")
            }
        }
    }

    /// Nobody forges a marker with a message, whatever the vocabulary is made of.
    @Test(arguments: KindFile.own)
    func literalTextHasNoSpecialToken(kind: KindFile.Kind) throws {
        let tokenizer = try kind.tokenizer()
        let unknown = tokenizer.id(of: "<unk>")
        for text in file.texts.suffix(1400) {
            let ids = try tokenizer.encode(text, special: .literal, addBegin: false)
            #expect(ids.allSatisfy { $0 == unknown || !tokenizer.isSpecial($0) }, "\(text)")
        }
    }

    /// The ids that DeepSeek's own tokenizers give, as published with the vocabularies.
    @Test(.enabled(if: SharedData.exists, "\(SharedData.reason)"), arguments: ["deepseek-llm", "deepseek-coder"])
    func publishedIDsComeOut(name: String) throws {
        let vocabulary = try SharedVocabulary.read(name)
        let tokenizer = try Tokenizer(
            tokenizerJSON: vocabulary.tokenizerJSON(), configJSON: vocabulary.configJSON())
        let path = "\(SharedData.directory)/data/ggml-vocab-\(name).gguf"
        let separator = "\n__ggml_vocab_test__\n"
        let texts = try String(contentsOfFile: "\(path).inp", encoding: .utf8).components(separatedBy: separator)
        let lines = try String(contentsOfFile: "\(path).out", encoding: .utf8).components(separatedBy: "\n")
        #expect(texts.count == 47)
        for (text, line) in zip(texts, lines) {
            let expected = line.split(separator: " ").compactMap { Int32($0) }
            let ids = try tokenizer.encode(text, special: .parsed, addBegin: false)
            #expect(ids == expected, "\(text.debugDescription)")
            #expect(DemoTokenizer.areIdentical(tokenizer.decode(ids, skipSpecial: false), text))
        }
        #expect(try tokenizer.encode("", special: .parsed, addBegin: true) == [tokenizer.beginToken])
    }
}

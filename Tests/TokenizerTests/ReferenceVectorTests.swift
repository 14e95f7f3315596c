import Testing
import Tokenizer

/// Every id and every decoded byte equals the reference implementation's.
@Suite struct ReferenceVectorTests {
    let file: VectorFile

    init() throws { file = try VectorFile.shared.get() }

    @Test func thereAreAtLeastTenThousandTexts() {
        #expect(file.variants[0].texts.count >= 10_000)
        #expect(file.variants.count == 8)
    }

    @Test(arguments: 0..<8)
    func idsEqualTheReference(variant index: Int) throws {
        let variant = file.variants[index]
        let tokenizer = try Tokenizer(
            tokenizerJSON: DemoTokenizer.json(overrides: variant.overrides), configJSON: nil)
        var failures: [String] = []
        for vector in variant.texts {
            for (mode, expected) in [
                (SpecialTokens.parsed, vector.parsed), (.asText, vector.asText), (.literal, vector.literal),
            ] {
                let ids = try tokenizer.encode(vector.text, special: mode, addBegin: false)
                if ids != expected {
                    let text = vector.text.prefix(80).debugDescription
                    failures.append("\(mode) \(text): \(ids.prefix(40)), not \(expected.prefix(40))")
                }
            }
        }
        #expect(failures.isEmpty, "\(failures.count) differ: \(failures.prefix(5).joined(separator: "\n"))")
    }

    @Test(arguments: 0..<8)
    func decodedTextEqualsTheReference(variant index: Int) throws {
        let variant = file.variants[index]
        let tokenizer = try Tokenizer(
            tokenizerJSON: DemoTokenizer.json(overrides: variant.overrides), configJSON: nil)
        let cases =
            variant.texts.map { VectorFile.Decoding(ids: $0.parsed, skipSpecial: false, text: $0.decoded) }
            + variant.decodings
        var failures: [String] = []
        for vector in cases {
            let whole = tokenizer.decode(vector.ids, skipSpecial: vector.skipSpecial)
            var stream = StreamingDetokenizer(tokenizer, skipSpecial: vector.skipSpecial)
            let streamed = vector.ids.map { stream.append($0) }.joined() + stream.finish()
            for text in [whole, streamed] where !DemoTokenizer.areIdentical(text, vector.text) {
                failures.append("\(vector.ids.prefix(20)): \(text.prefix(80).debugDescription)")
            }
        }
        #expect(failures.isEmpty, "\(failures.count) differ: \(failures.prefix(5).joined(separator: "\n"))")
    }
}

import Benchmark
import Container
import Tokenizer

/// Text into tokens and back, against copying the text.
enum TokenizerBenchmarks {
    static func run(_ container: ContainerReader) throws -> [Verdict] {
        guard let json = container.text.tokenizerJSON else { return [] }
        let tokenizer = try Tokenizer(tokenizerJSON: json, configJSON: container.text.tokenizerConfigJSON)
        let sentence = "The old man walked 17 miles along the river, and thought: “it's time to go home!”\n"
        let text = String(repeating: sentence, count: 4000)
        let bytes = Array(text.utf8)
        var target = [UInt8](repeating: 0, count: bytes.count)
        let copy = shortest(of: 50) { for index in bytes.indices { target[index] = bytes[index] } }
        var tokens: [Int32] = []
        let encode = try shortest { tokens = try tokenizer.encode(text, special: .literal, addBegin: false) }
        let decode = shortest {
            var detokenizer = StreamingDetokenizer(tokenizer, skipSpecial: true)
            for token in tokens { _ = detokenizer.append(token) }
        }
        let size = Double(bytes.count) / 1e6
        print("\(Int(size / encode)) MB/s into tokens, \(Int(size / decode)) MB/s back, one token at a time")
        return [
            Verdict(
                name: "text into tokens", ratio: encode / copy, meaning: "times copying its bytes",
                threshold: .atMost(2000)),
            Verdict(
                name: "tokens into text", ratio: decode / encode, meaning: "times text into tokens",
                threshold: .atMost(2)),
        ]
    }
}

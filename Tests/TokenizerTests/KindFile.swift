import Checkpoint
import Foundation
import TestSupport
import Testing
import Tokenizer

/// `Tests/Fixtures/tokenizer/kinds.bin`, whose layout stands in `Tests/python/tokenizer_kinds.py`.
struct KindFile {
    struct Kind: Sendable, CustomTestStringConvertible {
        var name: String
        var base: String
        var overrides: [UInt8]
        /// Of the texts' ids and what they decode to.
        var textChecks: [UInt16]
        var decodingChecks: [UInt16]

        var testDescription: String { name }

        /// Whether its tokenizer is made of the third-party data beside the checkout.
        var isShared: Bool { base.hasPrefix("/") }

        func tokenizer() throws -> Tokenizer {
            if base == "tiktoken" { return try ConvertedCheckpoint.ranks().tokenizer }
            if base == "pieces" { return try ConvertedCheckpoint.pieces().tokenizer }
            if base == "/pre-tokenizer" {
                return try Tokenizer(tokenizerJSON: SharedVocabulary.preTokenized(name), configJSON: nil)
            }
            if isShared {
                let vocabulary = try SharedVocabulary.read(String(base.dropFirst()))
                return try Tokenizer(
                    tokenizerJSON: vocabulary.tokenizerJSON(), configJSON: vocabulary.configJSON())
            }
            let path =
                base == "demo"
                ? "\(Fixtures.demo)/tokenizer.json" : "\(Fixtures.root)/Tests/Fixtures/tokenizer/\(base).json"
            return try Tokenizer(
                tokenizerJSON: DemoTokenizer.json(overrides: overrides, of: path), configJSON: nil)
        }
    }

    /// The texts of `vectors.bin`, and more.
    let texts: [String]
    let kinds: [Kind]

    static let shared = Result { try KindFile() }

    /// For the arguments of tests, which can't throw; a test of its own says that there are some.
    static var own: [Kind] { (try? shared.get().kinds.filter { !$0.isShared }) ?? [] }
    static var foreign: [Kind] { (try? shared.get().kinds.filter(\.isShared)) ?? [] }

    private init() throws {
        let path = "\(Fixtures.root)/Tests/Fixtures/tokenizer/kinds.bin"
        var reader = VectorFile.Reader(bytes: [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))))
        guard try reader.take(8).elementsEqual("MOEDTOK2".utf8) else { throw VectorFile.Reader.Malformed() }
        var texts = try VectorFile.shared.get().variants[0].texts.prefix(9200).map(\.text)
        for _ in 0..<(try reader.count()) { texts.append(String(decoding: try reader.blob() ?? [], as: UTF8.self)) }
        var kinds: [Kind] = []
        for _ in 0..<(try reader.count()) {
            kinds.append(
                Kind(
                    name: String(decoding: try reader.blob() ?? [], as: UTF8.self),
                    base: String(decoding: try reader.blob() ?? [], as: UTF8.self),
                    overrides: try reader.blob() ?? [],
                    textChecks: (try reader.ids() ?? []).map { UInt16($0) },
                    decodingChecks: (try reader.ids() ?? []).map { UInt16($0) }))
        }
        self.texts = texts
        self.kinds = kinds
    }

    /// Folded FNV-1a.
    static func check(_ ids: [Int32], _ text: String) -> UInt16 {
        var value: UInt64 = 0xCBF2_9CE4_8422_2325
        func mix(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
        for id in ids {
            for shift in [0, 8, 16, 24] { mix(UInt8(truncatingIfNeeded: id >> shift)) }
        }
        mix(0xFF)
        for byte in text.utf8 { mix(byte) }
        return UInt16(truncatingIfNeeded: value ^ value >> 16 ^ value >> 32 ^ value >> 48)
    }

    /// Lists of ids: half of the ids are among the first 300, where single bytes are.
    static func decodings(count: Int, vocabularySize: Int) -> [[Int32]] {
        var generator = SplitMix(seed: 5)
        return (0..<count).map { _ in
            let length = Int(generator.next() % 12)
            return (0..<length).map { _ in
                let value = generator.next()
                return Int32(value % (generator.next() & 1 == 1 ? 300 : UInt64(vocabularySize)))
            }
        }
    }
}

/// Vocabularies and patterns of others, beside the checkout.
enum SharedVocabulary {
    private static let data = "\(SharedData.directory)/data"

    /// The demo's vocabulary with the pre-tokenizer of this name.
    static func preTokenized(_ name: String) throws -> [UInt8] {
        let json = try Data(contentsOf: URL(fileURLWithPath: "\(data)/pretokenizer_regexes.json"))
        let all = try JSONSerialization.jsonObject(with: json) as? [String: Any]
        let patterns = all?[name] as? [String] ?? []
        let stages: [[String: Any]] =
            patterns.map { ["type": "Split", "pattern": ["Regex": $0], "behavior": "Isolated", "invert": false] }
            + [["type": "ByteLevel", "add_prefix_space": false, "use_regex": false]]
        return try DemoTokenizer.json(overrides: ["pre_tokenizer": ["type": "Sequence", "pretokenizers": stages]])
    }

    /// The vocabulary of a GGUF file, as `deepseek-llm`.
    static func read(_ name: String) throws -> GGUFVocabulary {
        let file = try GGUFFile(InputFile(path: "\(data)/ggml-vocab-\(name).gguf"))
        var vocabulary = try GGUFVocabulary(file, vocabularySize: .max)
        vocabulary.addsBeginToken = true
        return vocabulary
    }
}

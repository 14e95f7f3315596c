import Foundation
import TestSupport
import Tokenizer

/// `Tests/Fixtures/tokenizer/vectors.bin`, whose layout stands in `generate_vectors.py` beside it.
struct VectorFile {
    struct Variant {
        var overrides: [UInt8]
        var texts: [Text] = []
        var decodings: [Decoding] = []
    }

    struct Text {
        var text: String
        var parsed: [Int32]
        var asText: [Int32]
        var literal: [Int32]
        var decoded: String
    }

    struct Decoding {
        var ids: [Int32]
        var skipSpecial: Bool
        var text: String
    }

    private(set) var variants: [Variant] = []

    static let shared = Result { try VectorFile(path: "\(Fixtures.root)/Tests/Fixtures/tokenizer/vectors.bin") }

    private init(path: String) throws {
        var reader = Reader(bytes: [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))))
        guard try reader.take(8).elementsEqual("MOEDTOK1".utf8) else { throw Reader.Malformed() }
        for _ in 0..<(try reader.count()) {
            var variant = Variant(overrides: try reader.blob() ?? [])
            for _ in 0..<(try reader.count()) {
                let text = String(decoding: try reader.blob() ?? [], as: UTF8.self)
                let parsed = try reader.ids() ?? []
                let asText = try reader.ids() ?? parsed
                let literal = try reader.ids() ?? parsed
                let decoded = try reader.blob().map { String(decoding: $0, as: UTF8.self) } ?? text
                variant.texts.append(
                    Text(text: text, parsed: parsed, asText: asText, literal: literal, decoded: decoded))
            }
            for _ in 0..<(try reader.count()) {
                let ids = try reader.ids() ?? []
                let skip = try reader.take(1).first == 1
                let text = String(decoding: try reader.blob() ?? [], as: UTF8.self)
                variant.decodings.append(Decoding(ids: ids, skipSpecial: skip, text: text))
            }
            variants.append(variant)
        }
    }

    struct Reader {
        struct Malformed: Error {}

        let bytes: [UInt8]
        var position = 0

        mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
            guard count <= bytes.count - position else { throw Malformed() }
            defer { position += count }
            return bytes[position..<position + count]
        }

        mutating func count() throws -> Int {
            try take(4).reversed().reduce(0) { $0 << 8 | Int($1) }
        }

        /// nil where the file says that it is the same as what came before.
        mutating func blob() throws -> [UInt8]? {
            let count = try count()
            return count == 0xFFFF_FFFF ? nil : Array(try take(count))
        }

        mutating func ids() throws -> [Int32]? {
            let count = try count()
            if count == 0xFFFF_FFFF { return nil }
            let data = Array(try take(2 * count))
            return (0..<count).map { Int32(data[2 * $0]) | Int32(data[2 * $0 + 1]) << 8 }
        }
    }
}

/// The demo's `tokenizer.json` with changes: whole entries of the top level, and single ones of `model`.
enum DemoTokenizer {
    static func json() throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(Fixtures.demo)/tokenizer.json")))
    }

    static func configJSON() throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(Fixtures.demo)/tokenizer_config.json")))
    }

    static func load() throws -> Tokenizer {
        try Tokenizer(tokenizerJSON: json(), configJSON: configJSON())
    }

    /// Whether two strings are the same bytes; `==` would also accept another normalisation form.
    static func areIdentical(_ left: String, _ right: String) -> Bool { left.utf8.elementsEqual(right.utf8) }

    /// Another tokenizer's file with changes, if a path is given.
    static func json(overrides: [UInt8], of path: String? = nil) throws -> [UInt8] {
        let changes = try JSONSerialization.jsonObject(with: Data(overrides)) as? [String: Any] ?? [:]
        return try json(overrides: changes, of: path)
    }

    static func json(overrides: [String: Any], of path: String? = nil) throws -> [UInt8] {
        let base = try path.map { [UInt8](try Data(contentsOf: URL(fileURLWithPath: $0))) } ?? json()
        var definition = try JSONSerialization.jsonObject(with: Data(base)) as? [String: Any] ?? [:]
        for (key, value) in overrides {
            if key == "model", let changes = value as? [String: Any] {
                var model = definition["model"] as? [String: Any] ?? [:]
                for (key, value) in changes { model[key] = value }
                definition["model"] = model
            } else {
                definition[key] = value
            }
        }
        return [UInt8](try JSONSerialization.data(withJSONObject: definition))
    }
}

import FoundationEssentials
import JSON
import TestSupport
import Testing

@Suite("Foundation's decoder behind the strict check")
struct StrictJSONTests {
    private struct Tree: Codable, Equatable {
        var names: [String]?
        var sizes: [String: Int]?
        var child: [Tree]?
    }

    private func decode(_ text: String) throws(JSONError) -> Tree {
        try StrictJSON.decode(Tree.self, from: Array(text.utf8), limits: JSONLimits(byteCount: 1 << 20))
    }

    @Test("decodes what is sound")
    func sound() throws {
        let tree = Tree(names: ["a", "é"], sizes: ["x": 3], child: [Tree()])
        #expect(try decode(String(decoding: JSONEncoder().encode(tree), as: UTF8.self)) == tree)
    }

    @Test(
        "leads to the value that isn't what is wanted",
        arguments: [
            (#"{"names":[1]}"#, "names[0]"), (#"{"child":[{},{"sizes":{"a.b":"c"}}]}"#, "child[1].sizes.a.b"),
            (#"{"child":[{"names":{}}]}"#, "child[0].names"),
        ])
    func mismatches(text: String, path: String) {
        let error = #expect(throws: JSONError.self) { try decode(text) }
        #expect(error?.code == .mismatch)
        #expect(error?.path == path)
    }

    @Test(
        "never shows it what two readers might read in two ways",
        arguments: [
            #"{"names":["a"],"names":["b"]}"#, #"{"names":["\ud800"]}"#, "{}{}", "\u{FEFF}{}", #"{"other":01}"#,
            #"{"other":{"a":1,"a":2}}"#,
        ])
    func ambiguities(text: String) {
        let error = #expect(throws: JSONError.self) { try decode(text) }
        #expect(error?.code == .malformed)
    }

    /// Everything that is accepted means the same to both readers, and a check accepts what a parser does.
    @Test("agrees with the cursor about changed texts")
    func agreement() throws {
        let sample = Array(
            #"{"a":[1,-2.5e3,true,null,"x\u00e9\ud83d\ude00"],"b":{"c":[],"d":{}},"e":9007199254740993,"f":0.1}"#.utf8)
        let limits = JSONLimits(byteCount: 1 << 20)
        var accepted = 0
        for seed in 0..<20_000 as Range<UInt64> {
            var mutator = Mutator(seed: seed)
            let bytes = mutator.mutate(sample)
            let value = try? JSONValue(parsing: bytes, limits: limits)
            let isSound = (try? StrictJSON.check(bytes, limits: limits)) != nil
            #expect(isSound == (value != nil), "\(String(decoding: bytes, as: UTF8.self))")
            guard let value else { continue }
            let text = String(decoding: bytes, as: UTF8.self)
            guard let other = try? JSONDecoder().decode(DecodedValue.self, from: Data(bytes)).value else {
                #expect(text.contains(/[0-9][eE][-+]?[0-9]{3}/), "only numbers beyond Double are refused: \(text)")
                continue
            }
            accepted += 1
            #expect(value.sorted == other.sorted, "\(text)")
        }
        #expect(accepted > 500)
    }
}

/// A value as Foundation's decoder sees it.
private struct DecodedValue: Decodable {
    var value: JSONValue

    init(from decoder: any Decoder) throws {
        if let keyed = try? decoder.container(keyedBy: Name.self) {
            value = .object(
                try keyed.allKeys.map {
                    .init(name: $0.stringValue, value: try keyed.decode(DecodedValue.self, forKey: $0).value)
                })
            return
        }
        if var list = try? decoder.unkeyedContainer() {
            var elements: [JSONValue] = []
            while !list.isAtEnd { elements.append(try list.decode(DecodedValue.self).value) }
            value = .array(elements)
            return
        }
        let single = try decoder.singleValueContainer()
        if single.decodeNil() {
            value = .null
        } else if let bool = try? single.decode(Bool.self) {
            value = .bool(bool)
        } else if let string = try? single.decode(String.self) {
            value = .string(string)
        } else {
            value = .number(try single.decode(Double.self))
        }
    }

    private struct Name: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
}

extension JSONValue {
    /// Members in the order of their names, and numbers as the decoder gives them.
    fileprivate var sorted: JSONValue {
        switch self {
        case .array(let elements): .array(elements.map(\.sorted))
        case .object(let members):
            .object(
                members.map { .init(name: $0.name, value: $0.value.sorted) }.sorted { $0.name < $1.name })
        case .integer(let value): .number(Double(value))
        default: self
        }
    }
}

import Serving
import Testing

@Suite("The JSON parser")
struct JSONParserTests {
    private func parse(_ text: String, depth: Int = 64) throws -> JSONValue {
        try JSONParser.parse(Array(text.utf8), maximumDepth: depth)
    }

    @Test(
        "reads what the standard allows",
        arguments: [
            ("null", JSONValue.null), (" true ", .boolean(true)), ("[]", .array([])), ("{}", .object([])),
            (#""a\n\u00e9\ud83d\ude00\/""#, .string("a\né😀/")), (#""\u0000""#, .string("\0")),
            ("-0", .number(JSONNumber(value: -0.0, integer: 0))), ("12", .number(JSONNumber(value: 12, integer: 12))),
            ("1.5e3", .number(JSONNumber(value: 1500, integer: 1500))),
            ("9223372036854775807", .number(JSONNumber(value: 0x1p63, integer: .max))),
            ("9223372036854775808", .number(JSONNumber(value: 0x1p63, integer: nil))),
            ("[1,[2,{\"a\":null}]]", .array([.one, .array([.two, .object([("a", .null)])])])),
        ])
    func valid(text: String, expected: JSONValue) throws {
        #expect(try parse(text) == expected)
    }

    @Test(
        "refuses the rest, and says where",
        arguments: [
            ("", 0), ("tru", 0), ("[1,]", 3), ("{\"a\":1,}", 7), ("{\"a\" 1}", 5), ("01", 1), ("1.", 2), ("+1", 0),
            (".5", 0), ("NaN", 0), ("-Infinity", 1), ("'a'", 0), ("\"a", 2), ("\"\u{9}\"", 1), (#""\x""#, 3),
            (#""\ud83d""#, 7), (#""\ude00""#, 7), (#""\ud83dA""#, 7), (#""\u12g4""#, 5), ("1 2", 2),
            (#"{"a":1,"a":2}"#, 7), ("// no\n1", 0), ("[1}", 2),
        ])
    func invalid(text: String, offset: Int) {
        #expect {
            try parse(text)
        } throws: {
            ($0 as? JSONError)?.offset == offset
        }
    }

    @Test(
        "refuses bytes that aren't UTF-8",
        arguments: [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x82]] as [[UInt8]])
    func notUTF8(bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try JSONParser.parse([0x22] + bytes + [0x22], maximumDepth: 4) }
    }

    @Test("nests as deep as it may and no deeper")
    func depth() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try parse(nested(64))
        #expect(throws: JSONError.self) { try parse(nested(65)) }
        #expect(throws: JSONError.self) { try parse(String(repeating: "[", count: 1_000_000)) }
    }

    @Test("any bytes end in a value or an error")
    func randomBytes() {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array(#"{}[]",:\untrfasle0123456789.eE+- "#.utf8) + [0, 0x80, 0xC3, 0xFF]
        var errors = 0
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...24, using: &generator)).map { _ in
                alphabet[Int.random(in: alphabet.indices, using: &generator)]
            }
            if (try? JSONParser.parse(bytes, maximumDepth: 8)) == nil { errors += 1 }
        }
        #expect(errors > 0)
    }
}

extension JSONValue {
    fileprivate static let one = JSONValue.number(JSONNumber(value: 1, integer: 1))
    fileprivate static let two = JSONValue.number(JSONNumber(value: 2, integer: 2))
}

import JSON
import Testing

@Suite("JSON values")
struct JSONValueTests {
    private func parse(_ text: String, depth: Int = 64) throws -> JSONValue {
        try JSONValue(parsing: Array(text.utf8), limits: JSONLimits(byteCount: 4 << 20, depth: depth))
    }

    @Test(
        "are read as the standard allows",
        arguments: [
            ("null", JSONValue.null), (" true ", .bool(true)), ("[]", .array([])), ("{}", .object([])),
            (#""a\n\u00e9\ud83d\ude00\/""#, .string("a\né😀/")), (#""\u0000""#, .string("\0")),
            (#""é\"""#, .string("é\"")),
            ("-0", .integer(0)), ("12", .integer(12)), ("-7", .integer(-7)), ("1.5e3", .integer(1500)),
            ("1.5", .number(1.5)), ("9007199254740993", .integer(9_007_199_254_740_993)),
            ("9007199254740993.0", .number(0x1p53)), ("9223372036854775807", .integer(.max)),
            (
                "[1,[2,{\"a\":null}]]",
                .array([.integer(1), .array([.integer(2), .object([.init(name: "a", value: .null)])])])
            ),
        ])
    func valid(text: String, expected: JSONValue) throws {
        #expect(try parse(text) == expected)
    }

    @Test("are written as they were read")
    func writing() throws {
        let text = #"{"a\"\\":[null,true,-7,1.5,1e+30],"é\u0001😀":{},"\u0000":[],"x":"a\u000ab"}"#
        #expect(String(decoding: try parse(text).encoded(), as: UTF8.self) == text)
        let value: JSONValue = ["a": "b", "c": .integer(1)]
        #expect(String(decoding: value.encoded(), as: UTF8.self) == #"{"a":"b","c":1}"#)
    }

    @Test("names that differ in normalisation only are two where that is asked for")
    func equivalentNames() throws {
        let text = Array("{\"\u{E9}\":1,\"e\u{301}\":2}".utf8)
        #expect(throws: JSONError.self) { try JSONValue(parsing: text, limits: JSONLimits(byteCount: 100)) }
        let limits = JSONLimits(byteCount: 100, tellsEquivalentNamesApart: true)
        #expect(try JSONValue(parsing: text, limits: limits).encoded() == text)
        #expect(throws: JSONError.self) { try JSONValue(parsing: Array(#"{"a":1,"a":2}"#.utf8), limits: limits) }
    }

    @Test("an integer too large is no fraction", arguments: ["9223372036854775808", "-9223372036854775809", "1e400"])
    func tooLargeIntegers(text: String) throws {
        let value = try parse(text)
        #expect(value.integer == nil)
        #expect(try #require(value.number).magnitude >= 0x1p63)
    }

    @Test(
        "are refused otherwise, and the place is told",
        arguments: [
            ("", 0), ("tru", 0), ("[1,]", 3), ("{\"a\":1,}", 7), ("{\"a\" 1}", 5), ("01", 1), ("1.", 2), ("+1", 0),
            (".5", 0), ("NaN", 0), ("-Infinity", 0), ("'a'", 0), ("\"a", 2), ("\"\u{9}\"", 1), (#""\x""#, 2),
            (#""\ud83d""#, 1), (#""\ude00""#, 1), (#""\ud83dA""#, 1), (#""\ud83d\u0041""#, 1), (#""\u12g4""#, 5),
            ("1 2", 2), (#"{"a":1,"a":2}"#, 7), ("// no\n1", 0), ("[1}", 2), ("\u{FEFF}1", 0), ("{1:2}", 1),
            (#"{"a":1,"\u0061":2}"#, 7), (#"{"\u00e9":1,"é":2}"#, 12), ("1e", 2), ("-", 0), ("[1 2]", 3),
        ])
    func invalid(text: String, offset: Int) {
        #expect {
            try parse(text)
        } throws: {
            ($0 as? JSONError)?.offset == offset
        }
        #expect(throws: JSONError.self) { try StrictJSON.check(Array(text.utf8), limits: JSONLimits(byteCount: 100)) }
    }

    @Test(
        "bytes that aren't UTF-8 are refused",
        arguments: [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x82]] as [[UInt8]])
    func notUTF8(bytes: [UInt8]) {
        let error = #expect(throws: JSONError.self) {
            try JSONValue(parsing: [0x22, 0x61] + bytes + [0x22], limits: JSONLimits(byteCount: 100))
        }
        #expect(error?.offset == 2)
    }

    @Test("nest as deep as they may and no deeper", arguments: [("[", "]"), (#"{"a":"#, "}")])
    func depth(open: String, close: String) throws {
        func nested(_ depth: Int) -> String {
            String(repeating: open, count: depth - 1) + "[]" + String(repeating: close, count: depth - 1)
        }
        _ = try parse(nested(64))
        let error = #expect(throws: JSONError.self) { try parse(nested(65)) }
        #expect(error?.expected == "at most 64 levels")
        #expect(throws: JSONError.self) { try parse(String(repeating: open, count: 500_000)) }
    }

    @Test("sizes are bounded")
    func sizes() throws {
        let text = Array("[1,2,3,{\"a\":4}]".utf8)
        _ = try JSONValue(parsing: text, limits: JSONLimits(byteCount: text.count, valueCount: 6))
        for limits in [JSONLimits(byteCount: text.count - 1), JSONLimits(byteCount: text.count, valueCount: 5)] {
            let parsed = #expect(throws: JSONError.self) { try JSONValue(parsing: text, limits: limits) }
            let checked = #expect(throws: JSONError.self) { try StrictJSON.check(text, limits: limits) }
            #expect(parsed?.code == .tooLarge)
            #expect(checked == parsed)
        }
        _ = try parse(String(repeating: "1", count: 1000))
        #expect(throws: JSONError.self) { try parse(String(repeating: "1", count: 1001)) }
    }

    @Test("a name that comes twice among thousands is found")
    func manyNames() throws {
        var members = (0..<5000).map { #""\#($0)":0"# }
        _ = try parse("{\(members.joined(separator: ","))}")
        members.append(#""\u0033217":0"#)
        let text = "{\(members.joined(separator: ","))}"
        let error = #expect(throws: JSONError.self) { try parse(text) }
        #expect(error?.offset == text.utf8.count - #""\u0033217":0}"#.utf8.count)
    }

    @Test("messages quote a text without its control characters, and shortly")
    func messages() throws {
        let name = String(repeating: #"\u001b[31m"#, count: 100)
        let error = #expect(throws: JSONError.self) { try parse(#"{"\#(name)":1,"\#(name)":1}"#) }
        let message = try #require(error).description
        #expect(message.utf8.count < 200 && !message.contains("\u{1B}"))
        #expect(message.contains(", at byte "))
    }
}

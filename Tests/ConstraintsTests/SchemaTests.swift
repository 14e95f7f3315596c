import Constraints
import JSON
import Testing

@Suite struct SchemaTests {
    struct Case: Sendable {
        let schema: String
        let good: [String]
        let bad: [String]
    }

    static let cases = [
        Case(
            schema: #"""
                {"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name"]}
                """#,
            good: [#"{"name":"A"}"#, #"{ "name": "A", "age": 3 }"#],
            bad: [
                #"{}"#, #"{"age":3}"#, #"{"age":3,"name":"A"}"#, #"{"name":1}"#, #"{"name":"A","age":1.5}"#,
                #"{"name":"A","x":1}"#,
            ]),
        Case(
            schema: #"""
                {"properties":{"a":{"type":"null"},"b":{"type":"boolean"},"c":{}},
                "additionalProperties":{"type":"number"}}
                """#,
            good: ["{}", #"{"a":null,"c":[{}]}"#, #"{"b":true,"x":1,"y":2.5}"#, #"{"z":1}"#],
            bad: [#"{"x":1,"a":null}"#, #"{"b":1}"#, #"{"x":"1"}"#, #"{"x":1,"x":2}"#, #"{"b":true,"a":null}"#]),
        Case(
            schema: #"{"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3}"#,
            good: ["[1,2]", "[1, 2, -3]"], bad: ["[]", "[1]", "[1,2,3,4]", "[1,2.0]"]),
        Case(schema: #"{"type":"array","maxItems":0}"#, good: ["[]", "[ ]"], bad: ["[1]"]),
        Case(schema: #"{"items":true}"#, good: ["[]", #"[1,"a",[]]"#], bad: ["{}"]),
        Case(
            schema: #"{"type":"string","minLength":2,"maxLength":3}"#,
            good: [#""äö""#, #""a\n\ud83d\ude00""#, #""😀😀😀""#],
            bad: [#""a""#, #""abcd""#, #""😀""#, #""""#]),
        Case(
            schema: #"{"enum":["red","green","gray",1,null,{"a":[1.5]}]}"#,
            good: [#""red""#, #""gray""#, "1", "null", #"{"a":[1.5]}"#],
            bad: [#""re""#, #""blue""#, "2", #"{"a":1.5}"#]),
        Case(schema: #"{"type":"string","enum":["1",2]}"#, good: [#""1""#], bad: ["2", "1"]),
        Case(schema: #"{"const":"a\"b"}"#, good: [#""a\"b""#], bad: [#""a""#]),
        Case(
            schema: #"{"type":["string","null"]}"#, good: [#""""#, "null"], bad: ["1", "true"]),
        Case(
            schema: #"""
                {"anyOf":[{"type":"object","properties":{"k":{"const":"a"},"x":{"type":"integer"}},"required":["k",
                "x"]},{"type":"object","properties":{"k":{"const":"b"},"y":{"type":"string"}},"required":["k","y"]},
                {"type":"null"}]}
                """#,
            good: [#"{"k":"a","x":1}"#, #"{"k":"b","y":""}"#, "null"],
            bad: [#"{"k":"a","y":""}"#, #"{"k":"b","x":1}"#]),
        Case(
            schema: ##"""
                {"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"v":{"type":"number"},
                "next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["v","next"]}}}
                """##,
            good: [#"{"v":1,"next":null}"#, #"{"v":1,"next":{"v":2e9,"next":{"v":-0.5,"next":null}}}"#],
            bad: [#"{"v":1}"#, #"{"v":1,"next":{"v":2}}"#]),
        Case(
            schema: ##"""
                {"type":"object","properties":{"children":{"type":"array","items":{"$ref":"#"}}},
                "required":["children"]}
                """##,
            good: [#"{"children":[]}"#, #"{"children":[{"children":[]},{"children":[]}]}"#],
            bad: ["{}", #"{"children":[1]}"#]),
        Case(
            schema: ##"""
                {"title":"T","description":"d","type":"object","properties":{"a/b":{"type":"integer","default":1,
                "examples":[1]},"c":{"$ref":"#/properties/a~1b"}},"required":["c"]}
                """##,
            good: [#"{"c":1}"#, #"{"a/b":1,"c":2}"#], bad: [#"{"a/b":1}"#, #"{"c":"1"}"#]),
        Case(
            schema: ##"{"title":"T","allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"type":"null"}}}"##, good: ["null"],
            bad: ["1"]),
        Case(
            schema: #"{"oneOf":[{"type":"null"},{"type":"boolean"}],"discriminator":{"propertyName":"k"}}"#,
            good: ["null", "true"], bad: ["1"]),
        Case(
            schema: #"{"type":"integer","minimum":-12,"exclusiveMaximum":105}"#,
            good: ["-12", "-9", "-1", "0", "9", "10", "99", "104"],
            bad: ["-13", "-20", "-120", "105", "110", "1000", "01", "-0", "1.0", "1e1"]),
        Case(
            schema: #"{"type":"integer","minimum":1.5}"#, good: ["2", "9", "10", "12345678901234567890"],
            bad: ["1", "0", "-3", "123456789012345678901"]),
        Case(
            schema: #"{"type":["integer","null"],"maximum":-1000}"#, good: ["-1000", "-9999", "-10000", "null"],
            bad: ["-999", "0", "1000"]),
        Case(schema: #"{"minimum":7.0,"maximum":7}"#, good: ["7"], bad: ["7.5", "6", "-7"]),
        Case(
            schema: #"{"type":"number","minimum":-3,"maximum":20}"#,
            good: ["-3", "-2.99", "-0.5", "0", "0.001", "19.999", "20"], bad: ["-3.1", "20.1", "21", "1e1", "100"]),
        Case(schema: #"{"type":"number","minimum":0}"#, good: ["0", "0.5", "12.25"], bad: ["-1", "-0.5", "1."]),
        Case(schema: #"{"type":"number","maximum":-2}"#, good: ["-2", "-2.5", "-10"], bad: ["-1.9", "0", "2"]),
        Case(
            schema: #"{"type":"string","format":"date"}"#,
            good: ["2024-02-29", "2000-02-29", "1999-12-31", "2023-04-30", "2023-10-31"].map { "\"\($0)\"" },
            bad: ["2023-02-29", "1900-02-29", "2100-02-29", "2023-04-31", "2023-13-01", "2023-00-01", "2023-1-01", "x"]
                .map { "\"\($0)\"" }),
        Case(
            schema: #"{"format":"date-time"}"#,
            good: ["2024-01-31T23:59:59Z", "2024-01-31T00:00:00.123456+05:30"].map { "\"\($0)\"" },
            bad: ["2024-01-31", "2024-01-31T24:00:00Z", "2024-01-31T00:60:00Z", "2024-01-31T00:00:00"]
                .map { "\"\($0)\"" }),
        Case(
            schema: #"{"type":"string","format":"time"}"#, good: [#""12:00:00-08:00""#],
            bad: [#""12:00""#, #""9:00:00Z""#]),
        Case(
            schema: #"{"type":"string","format":"uuid"}"#, good: [#""123e4567-e89B-12d3-a456-426614174000""#],
            bad: [#""123e4567e89b12d3a456426614174000""#, #""g23e4567-e89b-12d3-a456-426614174000""#]),
        Case(
            schema: #"{"type":"string","format":"ipv4"}"#, good: [#""127.0.0.1""#, #""255.249.10.99""#],
            bad: [#""256.0.0.1""#, #""1.2.3""#, #""01.2.3.4""#]),
        Case(schema: #"{"type":["integer","number"]}"#, good: ["1", "1.5"], bad: [#""1""#]),
        Case(schema: "{}", good: ["1", #"{"a":[]}"#], bad: ["x"]),
    ]

    @Test("values that fit are taken, others aren't", arguments: cases)
    func values(_ test: Case) throws {
        let grammar = try GrammarWalk.schema(test.schema)
        for text in test.good { #expect(GrammarWalk.takes(grammar, text), "\(text)") }
        for text in test.bad { #expect(!GrammarWalk.takes(grammar, text), "\(text)") }
    }

    @Test("every text of a random walk is JSON that fits", arguments: cases)
    func walks(_ test: Case) throws {
        let schema = try GrammarWalk.json(test.schema)
        let grammar = try GrammarWalk.schema(test.schema)
        var count = 0
        for seed in 0..<30 {
            guard let text = try GrammarWalk.text(grammar, seed: UInt64(seed)) else { continue }
            let limits = JSONLimits(byteCount: 1 << 22, tellsEquivalentNamesApart: true)
            let value = try JSONValue(parsing: text, limits: limits)
            #expect(SchemaOracle.fits(value, schema, in: schema), "\(String(decoding: text, as: UTF8.self))")
            count += 1
        }
        #expect(count > 15)
    }

    @Test(
        "what isn't supported or makes no sense is refused by its place",
        arguments: [
            (#"{"type":"object","properties":{"a":{"type":"string","minimum":0}}}"#, "schema.properties.a.minimum"),
            (#"{"type":"integer","minimum":"0"}"#, "schema.minimum"),
            (#"{"type":"integer","minimum":3,"maximum":2}"#, "schema.maximum"),
            (#"{"type":"integer","exclusiveMinimum":2,"exclusiveMaximum":3}"#, "schema.exclusiveMaximum"),
            (#"{"type":"integer","maximum":9007199254740993}"#, "schema.maximum"),
            (#"{"type":"number","minimum":0.5}"#, "schema.minimum"),
            (#"{"type":"number","exclusiveMinimum":0}"#, "schema.exclusiveMinimum"),
            (#"{"type":"integer","multipleOf":2}"#, "schema.multipleOf"),
            (#"{"type":"string","pattern":"^a"}"#, "schema.pattern"),
            (#"{"type":"string","format":"email"}"#, "schema.format"),
            (#"{"type":"string","format":"date","maxLength":9}"#, "schema.maxLength"),
            (#"{"oneOf":[{"type":"null"}],"anyOf":[{}]}"#, "schema.oneOf"), (#"{"allOf":[]}"#, "schema.allOf"),
            (#"{"allOf":[{},{}]}"#, "schema.allOf"), (#"{"oneOf":[{"allOf":{}}]}"#, "schema.oneOf[0].allOf"),
            (#"{"anyOf":[{"type":"null"}],"type":"null"}"#, "schema.type"), (#"{"anyOf":[]}"#, "schema.anyOf"),
            (#"{"anyOf":[{},{"not":{}}]}"#, "schema.anyOf[1].not"), (#"{"type":"thing"}"#, "schema.type"),
            (#"{"type":[]}"#, "schema.type"), (#"{"type":"integer","minLength":1}"#, "schema.minLength"),
            (#"{"type":"array","items":[{}]}"#, "schema.items"),
            (#"{"type":"array","uniqueItems":true}"#, "schema.uniqueItems"),
            (#"{"type":"array","minItems":3,"maxItems":2}"#, "schema.maxItems"),
            (#"{"type":"array","minItems":-1}"#, "schema.minItems"),
            (#"{"type":"string","maxLength":1.5}"#, "schema.maxLength"),
            (#"{"type":"object","required":["a"]}"#, "schema.required[0]"),
            (#"{"type":"object","required":"a"}"#, "schema.required"),
            (#"{"type":"object","properties":[]}"#, "schema.properties"),
            (#"{"type":"object","properties":{"a":{"items":{"x":1}}}}"#, "schema.properties.a.items.x"),
            (#"{"type":"object","patternProperties":{}}"#, "schema.patternProperties"),
            (#"{"type":"object","additionalProperties":{"if":{}}}"#, "schema.additionalProperties.if"),
            (##"{"$ref":"other.json"}"##, "schema.$ref"), (##"{"$ref":"#/$defs/a"}"##, "schema.$ref"),
            (##"{"$ref":"#/$defs/a","$defs":{"a":{"multipleOf":2}}}"##, "schema.$defs.a.multipleOf"),
            (#"{"enum":[]}"#, "schema.enum"), (#"{"type":"integer","enum":["a"]}"#, "schema.enum"),
            (#"{"enum":[1e999]}"#, "schema.enum"), ("false", "schema"), ("3", "schema"),
            (#"{"items":false}"#, "schema.items"),
            // Nothing finite fits these.
            (##"{"$ref":"#"}"##, "schema"),
            (##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##, "schema"),
            (##"{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}"##, "schema"),
            (##"{"type":"array","items":{"$ref":"#"},"minItems":1}"##, "schema"),
        ])
    func refusals(schema: String, path: String) throws {
        let error = #expect(throws: GrammarError.self) { try GrammarWalk.schema(schema) }
        #expect(error?.path == path, "\(String(describing: error))")
    }

    @Test("recursion ends before readers give up, and never where it can't be ended")
    func recursion() throws {
        // Each level needs two more objects to be ended.
        let grammar = try GrammarWalk.schema(
            ##"""
            {"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"object"}},
            "required":["b"]},"more":{"$ref":"#"}},"required":["a"]}
            """##)
        var matcher = GrammarMatcher(grammar)
        let level = Array(#"{"a":{"b":{}},"more":"#.utf8)
        var depth = 0
        while matcher.accepts(level[...]) {
            #expect(matcher.take(level[...]) == true)
            depth += 1
        }
        #expect(depth == Grammar.mostDepth - 3)
        #expect(matcher.take(Array((#"{"a":{"b":{}}"# + String(repeating: "}", count: depth + 1)).utf8)[...]) == true)
        #expect(matcher.isFinished)
    }

    @Test("branches that begin alike at every level stay as cheap as one")
    func ambiguity() throws {
        let grammar = try GrammarWalk.schema(
            ##"""
            {"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"type":"object","properties":{"x":{"$ref":"#/$defs/a"},
            "y":{"type":"integer"}},"required":["x","y"]},{"type":"object","properties":{"x":{"$ref":"#/$defs/a"},
            "z":{"type":"integer"}},"required":["x","z"]},{"type":"null"}]}}}
            """##)
        let depth = Grammar.mostDepth
        let text =
            String(repeating: #"{"x":"#, count: depth) + "null"
            + (0..<depth).map { #","\#($0 % 2 == 0 ? "y" : "z")":1}"# }.joined()
        #expect(GrammarWalk.takes(grammar, text))
    }

    @Test("hostile schemas are refused or taken in bounded time, without an answer that hangs")
    func hostile() throws {
        let start = ContinuousClock.now
        let many = (0..<3000).map {
            #"{"type":"object","properties":{"aaaaaaaa":{"type":"string","maxLength":\#(100 + $0)},"b\#($0)":{}},"#
                + #""required":["aaaaaaaa"]}"#
        }
        #expect(throws: GrammarError.self) { try GrammarWalk.schema(#"{"anyOf":[\#(many.joined(separator: ","))]}"#) }
        // As many readings as fit, in a string whose length they all count.
        let grammar = try GrammarWalk.schema(#"{"anyOf":[\#(many.prefix(900).joined(separator: ","))]}"#)
        var matcher = GrammarMatcher(grammar)
        var isAlive = matcher.take(Array(#"{"aaaaaaaa":""#.utf8)[...])
        #expect(isAlive)
        let long = Array(String(repeating: "x", count: 90).utf8)
        for _ in 0..<400 where !matcher.isExhausted { isAlive = matcher.accepts(long[...]) }
        #expect(matcher.isExhausted && !isAlive)
        #expect(matcher.accepts([UInt8(ascii: "x")]) == false)
        // A chain of references, each to the next, and an enumeration of a megabyte.
        let chain = (0..<1500).map { ##""d\##($0)":{"type":"array","items":{"$ref":"#/$defs/d\##($0 + 1)"}}"## }
        let chained = ##"{"$ref":"#/$defs/d0","$defs":{\##(chain.joined(separator: ",")),"d1500":{}}}"##
        #expect(throws: GrammarError.self) { try GrammarWalk.schema(chained) }
        #expect(throws: GrammarError.self) {
            try GrammarWalk.schema(#"{"enum":["\#(String(repeating: "long ", count: 1 << 18))"]}"#)
        }
        #expect(ContinuousClock.now - start < .seconds(20))
    }
}

/// What JSON Schema says of the keywords in use, the plain way.
enum SchemaOracle {
    static func fits(_ value: JSONValue, _ schema: JSONValue, in root: JSONValue) -> Bool {
        guard case .object(let members) = schema else { return schema == .bool(true) }
        return members.allSatisfy { fits(value, keyword: $0.name, $0.value, of: schema, in: root) }
    }

    private static func fits(
        _ value: JSONValue, keyword: String, _ argument: JSONValue, of schema: JSONValue, in root: JSONValue
    ) -> Bool {
        switch (keyword, value) {
        case ("type", _):
            return (argument.array ?? [argument]).contains { is_(value, $0.string ?? "") }
        case ("enum", _): return argument.array?.contains(value) ?? false
        case ("const", _): return value == argument
        case ("anyOf", _), ("oneOf", _): return argument.array?.contains { fits(value, $0, in: root) } ?? false
        case ("allOf", _): return argument.array?.allSatisfy { fits(value, $0, in: root) } ?? false
        case ("minimum", _): return value.number.map { $0 >= argument.number ?? 0 } ?? true
        case ("maximum", _): return value.number.map { $0 <= argument.number ?? 0 } ?? true
        case ("exclusiveMaximum", _): return value.number.map { $0 < argument.number ?? 0 } ?? true
        case ("format", .string(let text)): return text.utf8.count >= 7
        case ("$ref", _):
            var place = root
            for part in (argument.string ?? "").split(separator: "/").dropFirst() {
                place = place[String(part).replacing("~1", with: "/")] ?? .null
            }
            return fits(value, place, in: root)
        case ("properties", .object(let members)):
            return members.allSatisfy { member in argument[member.name].map { fits(member.value, $0, in: root) } ?? true
            }
        case ("required", .object): return (argument.array ?? []).allSatisfy { value[$0.string ?? ""] != nil }
        case ("additionalProperties", .object(let members)):
            return members.allSatisfy { member in
                schema["properties"]?[member.name] != nil || fits(member.value, argument, in: root)
            }
        case ("items", .array(let elements)): return elements.allSatisfy { fits($0, argument, in: root) }
        case ("minItems", .array(let elements)): return elements.count >= argument.integer ?? 0
        case ("maxItems", .array(let elements)): return elements.count <= argument.integer ?? 0
        case ("minLength", .string(let text)): return text.unicodeScalars.count >= argument.integer ?? 0
        case ("maxLength", .string(let text)): return text.unicodeScalars.count <= argument.integer ?? 0
        default: return true
        }
    }

    private static func is_(_ value: JSONValue, _ type: String) -> Bool {
        switch (type, value) {
        case ("null", .null), ("boolean", .bool), ("string", .string), ("array", .array), ("object", .object): true
        case ("integer", .integer), ("number", .integer), ("number", .number): true
        // A whole number beyond what an Int holds.
        case ("integer", .number(let number)): number.rounded() == number
        default: false
        }
    }
}

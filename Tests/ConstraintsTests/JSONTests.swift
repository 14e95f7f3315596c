import Constraints
import JSON
import Testing

@Suite struct JSONGrammarTests {
    private static let object = Result {
        try GrammarWalk.grammar { builder in try builder.call(builder.anyObject(), then: builder.end) }
    }
    private static let value = Result {
        try GrammarWalk.grammar { builder in try builder.call(builder.anyValue(), then: builder.end) }
    }

    @Test(
        "JSON is taken",
        arguments: [
            "{}", "{ }", #"{"a":1}"#, "{\n  \"a\": [1, 2.5, -3e+10],\n  \"b\": null\n}",
            #"{"":{"":{"":[[],[{}]]}}}"#, #"{"ä":"ö €😀","b":"\u00e9\ud83d\ude00\n\/\\\""}"#, #"{"n":-0.10E5}"#,
            #"{"a":true,"b":false,"A":"\uD7FF\uE000\uFFFF"}"#,
        ])
    func takes(text: String) throws {
        #expect(GrammarWalk.takes(try Self.object.get(), text))
        #expect(GrammarWalk.takes(try Self.value.get(), text))
        // The oracle agrees.
        #expect(throws: Never.self) { try GrammarWalk.json(text) }
    }

    @Test(
        "what isn't JSON, or what two readers could disagree about, isn't taken",
        arguments: [
            "", "{", "{]", "{a:1}", #"{"a":1,}"#, #"{,"a":1}"#, #"{"a":01}"#, #"{"a":1.}"#, #"{"a":.5}"#, #"{"a":+1}"#,
            #"{"a":1e}"#, #"{"a":"\x"}"#, "{\"a\":\"\n\"}", #"{"a":"\ud800"}"#, #"{"a":"\udc00"}"#,
            #"{"a":"\ud800\u0041"}"#, #"{"a":1,"a":2}"#, #"{"a":{"a":1},"b":1,"a":3}"#, #"{"a":nul}"#, #"{"a":1}}"#,
            #"{"a":1} "#, #"{"a":True}"#, #"{'a':1}"#, "{\"a\":1\u{A0}}", "{\"a\":\"\u{7}\"}",
        ])
    func refuses(text: String) throws {
        #expect(!GrammarWalk.takes(try Self.object.get(), text))
    }

    @Test("bytes that aren't UTF-8 are never taken, wherever tokens end")
    func encoding() throws {
        for bytes: [UInt8] in [
            [0x80], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
            [0xF5],
            [0xC3, 0x41], [0xE2, 0x82, 0x22], [0xFF],
        ] {
            var matcher = GrammarMatcher(try Self.value.get())
            #expect(matcher.take(Array("\"".utf8)[...]) == true)
            #expect(matcher.accepts((bytes + Array("\"".utf8))[...]) == false)
        }
        var matcher = GrammarMatcher(try Self.value.get())
        for part: [UInt8] in [[0x22, 0xF0, 0x9F], [0x98], [0x80, 0x22]] {
            #expect(!matcher.isComplete)
            #expect(matcher.take(part[...]) == true)
        }
        #expect(matcher.isFinished)
    }

    @Test("every text of a random walk is JSON", arguments: 0..<60)
    func walks(seed: Int) throws {
        for grammar in [try Self.object.get(), try Self.value.get()] {
            guard let text = try GrammarWalk.text(grammar, seed: UInt64(seed)) else { continue }
            let limits = JSONLimits(byteCount: 1 << 22, tellsEquivalentNamesApart: true)
            #expect(throws: Never.self) { try JSONValue(parsing: text, limits: limits) }
        }
    }

    @Test("nesting ends where readers of JSON give up, and can always be ended")
    func depth() throws {
        var matcher = GrammarMatcher(try Self.value.get())
        var depth = 0
        while matcher.accepts(Array("[".utf8)[...]) {
            #expect(matcher.take(Array("[".utf8)[...]) == true)
            depth += 1
            #expect(depth < 64)
        }
        #expect(depth == Grammar.mostDepth)
        for _ in 0..<depth { #expect(matcher.take(Array("]".utf8)[...]) == true) }
        #expect(matcher.isFinished)
    }

    @Test("a text of any length takes bounded memory, and keys are still told apart")
    func longText() throws {
        var matcher = GrammarMatcher(try Self.object.get())
        func take(_ text: String) -> Bool { matcher.take(Array(text.utf8)[...]) }
        #expect(take("{"))
        for number in 0..<2000 {
            #expect(take("\(number == 0 ? "" : ",")\"k\(number)\":[1,{\"a\":[2,3]},\"x\"]"))
        }
        #expect(matcher.accepts(Array(",\"k0\"".utf8)[...]) == false)
        #expect(matcher.accepts(Array(",\"k1999\"".utf8)[...]) == false)
        #expect(matcher.accepts(Array(",\"k2000\"".utf8)[...]) == true)
        #expect(take("}") && matcher.isFinished)
    }

    @Test("a question changes nothing")
    func trials() throws {
        var asked = GrammarMatcher(try Self.value.get())
        var plain = asked
        for byte in #"{"a":[1,{"b":"c"}],"d":{"a":2}}"#.utf8 {
            for token in GrammarWalk.vocabulary + [Array(#"{"a":1,"a":2"#.utf8), Array(#""a":"#.utf8)] {
                let isAccepted = asked.accepts(token[...])
                var copy = plain
                #expect(copy.take(token[...]) == isAccepted)
            }
            let isTaken = asked.take([byte]) && plain.take([byte])
            #expect(isTaken)
        }
        #expect(asked.isFinished)
    }

    @Test(
        "what must not be spelt isn't, neither in strings nor in keys, and may be escaped",
        arguments: ["<|", "</tool>", "<｜x"])
    func avoids(text: String) throws {
        let grammar = try GrammarWalk.grammar([text]) { builder in
            try builder.call(builder.anyObject(), then: builder.end)
        }
        #expect(!GrammarWalk.takes(grammar, "{\"a\":\"x \(text) y\"}"))
        #expect(!GrammarWalk.takes(grammar, "{\"\(text)\":1}"))
        #expect(GrammarWalk.takes(grammar, "{\"<a\":\"< <b </x <ö </tool\"}"))
        #expect(GrammarWalk.takes(grammar, "{\"a\":\"\\u003c\(text.dropFirst())\"}"))
        for seed in 0..<20 {
            let pieces = GrammarWalk.vocabulary + [Array(text.utf8), Array(text.utf8.prefix(2)), [UInt8(ascii: "<")]]
            if let bytes = try GrammarWalk.text(grammar, seed: UInt64(seed), vocabulary: pieces) {
                #expect(!bytes.contains(Array(text.utf8)))
            }
        }
    }
}

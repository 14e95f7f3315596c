import API
import DemoSupport
import Foundation
import Testing

extension ServingSuite {
    /// Answers that are held to a form, most of them of models that know nothing of it.
    @Suite("Constraints")
    struct ConstraintTests {
        /// A family's calls, of which the markers may be special tokens.
        struct Family: Sendable, CustomTestStringConvertible {
            let name: String
            let markers: [String]
            let areSpecial: Bool
            var testDescription: String { "\(name), \(areSpecial ? "special tokens" : "plain text")" }
        }

        static let families: [Family] = {
            let syntaxes: [(String, [String])] = [
                ("Hermes", ["<tool_call>", "</tool_call>"]),
                (
                    "DeepSeek",
                    [
                        "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>",
                        "<｜tool▁calls▁end｜>",
                    ]
                ),
                (
                    "Kimi",
                    [
                        "<|tool_calls_section_begin|>", "<|tool_call_begin|>", "<|tool_call_argument_begin|>",
                        "<|tool_call_end|>", "<|tool_calls_section_end|>",
                    ]
                ),
                ("GLM", ["<arg_key>", "<tool_call>", "</arg_key>", "<arg_value>", "</arg_value>", "</tool_call>"]),
                ("Mistral", ["[TOOL_CALLS]"]),
                (
                    "gpt-oss",
                    ["<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|start|>", "<|call|>", "<|return|>"]
                ),
            ]
            return syntaxes.flatMap { name, markers in
                [true, false].map { Family(name: name, markers: markers, areSpecial: $0) }
            }
        }()

        /// Tells of tools, and that the family is the markers'.
        private static func template(_ markers: [String]) -> String {
            let written = markers.map { "{{- '\($0)' -}}" }.joined()
            return """
                {%- if tools %}{{- tools | tojson }}{%- endif -%}{%- if false %}\(written){%- endif -%}
                {%- for message in messages %}{{- message.content + '\\n' -}}{%- endfor -%}
                """
        }

        private static func model(_ family: Family) throws -> ScriptedModel {
            // Others that begin as markers do, so that more than bytes is to choose from.
            let pieces = (family.areSpecial ? family.markers : []) + ["{\"", "\": \"", "\"}", "</", "<|", "é\"", "né"]
            return try ScriptedModel(
                pieces, special: family.areSpecial ? Set(family.markers) : [], template: template(family.markers),
                family: family.name == "gpt-oss" ? .gptOSS : .llama)
        }

        private static func tools(isStrict: Bool) -> String {
            let city = #"{"type":"string","maxLength":30}"#
            let unit = #"{"type":"string","enum":["c","fahrenheit"]}"#
            let parameters =
                #"{"type":"object","properties":{"city":\#(city),"unit":\#(unit),"days":{"type":"integer"},"#
                + #""spans":{"type":"array","items":{"type":"boolean"},"maxItems":3}},"#
                + #""required":["city","unit","days"],"additionalProperties":false}"#
            return #""tools":[{"type":"function","function":{"name":"get_weather","strict":\#(isStrict),"#
                + #""parameters":\#(parameters)}},{"type":"function","function":{"name":"now","strict":\#(isStrict)}}]"#
        }

        private static func body(_ fields: String, seed: Int, tokens: Int = 400) -> String {
            #"{"messages":[{"role":"user","content":"Hello"}],"temperature":1,"max_tokens":\#(tokens),"#
                + #""seed":\#(seed),\#(fields)}"#
        }

        private func choice(_ daemon: TestDaemon, _ body: String) async throws -> ChatChoice {
            let response = try await daemon.post("/v1/chat/completions", body)
            #expect(response.status == 200, "\(response.body)")
            return try #require(try decode(ChatCompletion.self, response).choices.first)
        }

        private func object(_ text: String) throws -> [String: Any] {
            try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
        }

        @Test(
            "strict calls that are required are made in every syntax, by models that know nothing", arguments: families)
        func strictCalls(family: Family) async throws {
            let model = try Self.model(family)
            defer { withExtendedLifetime(model) {} }
            try await TestDaemon.run(model: model.path) { daemon in
                for seed in 0..<2 {
                    let fields = Self.tools(isStrict: true) + #","tool_choice":"required""#
                    let answer = try await choice(daemon, Self.body(fields, seed: seed))
                    // A model that knows nothing may call again and again.
                    if answer.finishReason == .length { continue }
                    #expect(answer.finishReason == .toolCalls)
                    #expect(answer.message.content.isEmpty, "\(answer)")
                    let calls = try #require(answer.message.toolCalls)
                    for call in calls {
                        let arguments = try object(call.function.arguments)
                        if call.function.name == "now" {
                            #expect(arguments.isEmpty)
                            continue
                        }
                        #expect(call.function.name == "get_weather")
                        let city = try #require(arguments["city"] as? String)
                        #expect(city.unicodeScalars.count <= 30)
                        #expect(["c", "fahrenheit"].contains(arguments["unit"] as? String))
                        #expect(arguments["days"] is NSNumber)
                        #expect(Set(arguments.keys).subtracting(["city", "unit", "days", "spans"]).isEmpty)
                        if let spans = arguments["spans"] { #expect(try #require(spans as? [Bool]).count <= 3) }
                    }
                }
            }
        }

        @Test("a call of a function that is named is one call, and streams alike", arguments: families)
        func namedCalls(family: Family) async throws {
            let model = try Self.model(family)
            defer { withExtendedLifetime(model) {} }
            try await TestDaemon.run(model: model.path) { daemon in
                var count = 0
                for seed in 0..<2 {
                    let fields =
                        Self.tools(isStrict: seed % 2 == 0)
                        + #","tool_choice":{"type":"function","function":{"name":"get_weather"}}"#
                    let answer = try await choice(daemon, Self.body(fields, seed: seed))
                    let stream = try await daemon.post(
                        "/v1/chat/completions", Self.body(fields + #","stream":true"#, seed: seed))
                    let deltas = try stream.chunks.compactMap(\.choices.first?.delta)
                    let streamed = deltas.flatMap { $0.toolCalls ?? [] }
                    #expect(streamed.map(\.function) == (answer.message.toolCalls ?? []).map(\.function))
                    if answer.finishReason == .length { continue }
                    #expect(answer.finishReason == .stop && answer.message.content.isEmpty, "\(answer)")
                    let call = try #require(answer.message.toolCalls?.first)
                    #expect(answer.message.toolCalls?.count == 1 && call.function.name == "get_weather")
                    _ = try object(call.function.arguments)
                    count += 1
                }
                #expect(count > 0)
            }
        }

        @Test(
            "JSON that fits a schema comes from every model, beside tools and without", arguments: families,
            [true, false])
        func schemas(family: Family, hasTools: Bool) async throws {
            let schema =
                #"{"type":"object","properties":{"a":{"type":"array","items":{"type":"string","maxLength":5},"maxItems":2},"#
                + #""b":{"anyOf":[{"type":"null"},{"type":"number"}]}},"required":["a","b"]}"#
            let format = #""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":\#(schema)}}"#
            let model = try Self.model(family)
            defer { withExtendedLifetime(model) {} }
            try await TestDaemon.run(model: model.path) { daemon in
                for seed in 0..<1 {
                    let fields = format + (hasTools ? "," + Self.tools(isStrict: false) : "")
                    let answer = try await choice(daemon, Self.body(fields, seed: seed))
                    if answer.finishReason == .length { continue }
                    if let calls = answer.message.toolCalls {
                        #expect(hasTools && answer.message.content.isEmpty && answer.finishReason == .toolCalls)
                        for call in calls { _ = try object(call.function.arguments) }
                        continue
                    }
                    #expect(answer.finishReason == .stop)
                    let value = try object(answer.message.content)
                    let texts = try #require(value["a"] as? [String])
                    #expect(texts.count <= 2 && texts.allSatisfy { $0.unicodeScalars.count <= 5 })
                    #expect(value["b"] is NSNull || value["b"] is NSNumber)
                }
            }
        }

        @Test(
            "a strict function's arguments fit where the model would have called it wrongly, after it has thought and spoken"
        )
        func strictOfItsOwnAccord() async throws {
            var pieces = ToolTests.thoughtful
            pieces[10] = "12}}\n"
            let model = try ScriptedModel(pieces, template: ToolTests.template)
            try await TestDaemon.run(model: model.path) { daemon in
                let free = try await choice(daemon, ToolTests.body(ToolTests.tools))
                #expect(free.message.toolCalls?.first?.function.arguments == #"{"city": 12}"#)
                let strict = ToolTests.tools.replacing(#""description":"#, with: #""strict":true,"description":"#)
                // What comes instead of the number is up to a coin, whose sides are many.
                for seed in 0..<3 {
                    let body = ToolTests.body(strict + #","seed":\#(seed),"max_tokens":900"#)
                        .replacing(#""temperature":0,"#, with: #""temperature":0.5,"#)
                    let answer = try await choice(daemon, body)
                    #expect(answer.message.reasoningContent == "Rome is a city.")
                    #expect(answer.message.content.hasPrefix("\n\nI'll look."))
                    if answer.finishReason == .length { continue }
                    let call = try #require(answer.message.toolCalls?.first)
                    #expect(call.function.name == "get_weather")
                    #expect(try object(call.function.arguments)["city"] is String)
                }
            }
        }

        @Test("a model that does what is asked for says what it would have said, and ends with the form")
        func behaves() async throws {
            let pieces = [
                "<think>", "Rome is", "</think>", "\n\n", "{\"a\":", " [1, ", "2]", "\n}", " and more",
                " and more of it",
            ]
            let model = try ScriptedModel(pieces, template: ToolTests.template)
            try await TestDaemon.run(model: model.path) { daemon in
                let fields = #""response_format":{"type":"json_object"},"logprobs":true,"top_logprobs":1"#
                let answer = try await choice(daemon, ToolTests.body(fields))
                #expect(answer.message.reasoningContent == "Rome is")
                #expect(answer.message.content == "\n\n{\"a\": [1, 2]\n}")
                #expect(answer.finishReason == .stop)
                let tokens = try #require(answer.logprobs?.content)
                #expect(tokens.map(\.token) == Array(pieces[..<8]))
                // Each is what the model itself finds likeliest.
                #expect(tokens.allSatisfy { $0.topLogprobs.first?.token == $0.token })

                let cut = try await choice(daemon, ToolTests.body(fields + #","max_tokens":6"#))
                #expect(cut.finishReason == .length && cut.message.content == "\n\n{\"a\": [1, ")
                let stopped = try await choice(daemon, ToolTests.body(fields + #","stop":" [1""#))
                #expect(stopped.finishReason == .stop && stopped.message.content == "\n\n{\"a\":")
                let prefix =
                    #"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"{","prefix":true}],"#
                let refused = try await daemon.post(
                    "/v1/chat/completions", prefix + #""response_format":{"type":"json_object"}}"#)
                #expect(try error(in: refused).param == "response_format")
            }
        }

        @Test("an answer under a constraint depends on its seed alone, whoever is beside it")
        func neighbours() async throws {
            let schema =
                #"{"type":"object","properties":{"title":{"type":"string","maxLength":60},"n":{"type":"integer"}},"required":["title","n"]}"#
            let format = #""response_format":{"type":"json_schema","json_schema":{"schema":\#(schema)}}"#
            try await TestDaemon.run(sequences: 4) { daemon in
                @Sendable func text(_ seed: Int, _ further: String = "") async throws -> String {
                    let fields =
                        #"\#(format),"temperature":1,"top_p":0.95,"repetition_penalty":1.1,"seed":\#(seed)\#(further)"#
                    let response = try await daemon.chat(fields + #","max_tokens":600"#)
                    let choice = try #require(try decode(ChatCompletion.self, response).choices.first)
                    #expect(choice.finishReason == .stop, "\(choice)")
                    return choice.message.content
                }
                var alone: [String] = []
                for seed in 0..<4 { alone.append(try await text(seed)) }
                #expect(Set(alone).count > 1)
                let together = try await withThrowingTaskGroup(of: (Int, String).self) { tasks in
                    for seed in 0..<4 { tasks.addTask { (seed, try await text(seed)) } }
                    // One that is held to nothing.
                    tasks.addTask { (4, try await daemon.chat(#""max_tokens":60,"seed":1"#).body) }
                    var found = [String](repeating: "", count: 5)
                    for try await (seed, text) in tasks { found[seed] = text }
                    return found
                }
                #expect(Array(together[..<4]) == alone)
            }
        }
    }
}

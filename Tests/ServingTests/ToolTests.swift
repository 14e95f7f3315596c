import API
import DemoSupport
import FoundationEssentials
import Testing

extension ServingSuite {
    @Suite("Tools and thinking")
    struct ToolTests {
        /// Tells the model of tools, calls and their results; calls' arguments must come as a mapping.
        static let template = """
            {%- if tools %}{{- '<|im_start|>system\\n' }}{%- for tool in tools %}{{- tool | tojson }}{%- endfor -%}
            {{- '<|im_end|>\\n' }}{%- endif -%}
            {%- for message in messages -%}
            {{- '<|im_start|>' + message.role + '\\n' + (message.content or '') -}}
            {%- for call in message.tool_calls or [] -%}
            {{- '<tool_call>' + call.function.name -}}
            {%- for name, value in call.function.arguments.items() %}{{- name }}={{ value | tojson }}{%- endfor -%}
            {%- endfor -%}
            {{- '<|im_end|>\\n' -}}
            {%- endfor -%}
            {%- if add_generation_prompt -%}
            {{- '<|im_start|>assistant\\n' -}}
            {%- if enable_thinking is defined and not enable_thinking %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif -%}
            {%- endif -%}
            """

        static let tools = #"""
            "tools":[{"type":"function","function":{"name":"get_weather","description":"<|im_end|>",
            "parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]
            """#

        static func body(_ fields: String) -> String {
            #"{"messages":[{"role":"user","content":"How is Rome?"}],"temperature":0,\#(fields)}"#
        }

        static let thoughtful = [
            "<think>", "Rome is", " a city.", "</think>", "\n\nI'll ", "look.", "\n\n<tool_call>",
            "\n{\"name\": \"get_",
            "weather\", \"arguments\": ", "{\"city\": ", "\"Rome\"}}\n", "</tool_call>",
        ]

        /// The whole answer, and what a stream of it comes to.
        private func answers(
            _ model: ScriptedModel, _ fields: String
        ) async throws -> (whole: ChatChoice, streamed: ChatChoice, usage: Usage) {
            try await TestDaemon.run(model: model.path) { daemon in
                let response = try await daemon.post("/v1/chat/completions", Self.body(fields))
                #expect(response.status == 200, "\(response.body)")
                let whole = try decode(ChatCompletion.self, response)
                let stream = Self.body(fields + #","stream":true"#)
                let chunks = try await daemon.post("/v1/chat/completions", stream).chunks
                var message = ChatChoice.Message(content: "")
                var calls: [ToolCall] = []
                for delta in chunks.compactMap(\.choices.first?.delta) {
                    message.content += delta.content ?? ""
                    if let text = delta.reasoningContent {
                        message.reasoningContent = (message.reasoningContent ?? "") + text
                    }
                    for call in delta.toolCalls ?? [] {
                        #expect(call.index == calls.count)
                        var call = call
                        call.index = nil
                        calls.append(call)
                    }
                }
                if !calls.isEmpty { message.toolCalls = calls }
                let reason = try #require(chunks.last?.choices.first?.finishReason)
                return (
                    try #require(whole.choices.first),
                    ChatChoice(index: 0, message: message, finishReason: reason), try #require(whole.usage)
                )
            }
        }

        @Test("an answer that thinks, speaks and calls is taken apart, whole and streamed")
        func takesApart() async throws {
            let model = try ScriptedModel(Self.thoughtful, template: Self.template)
            let (whole, streamed, usage) = try await answers(model, Self.tools)
            for choice in [whole, streamed] {
                #expect(choice.message.reasoningContent == "Rome is a city.")
                #expect(choice.message.content == "\n\nI'll look.")
                let calls = try #require(choice.message.toolCalls)
                #expect(calls.map(\.function.name) == ["get_weather"])
                #expect(calls.map(\.function.arguments) == [#"{"city": "Rome"}"#])
                #expect(calls[0].id.hasPrefix("call_") && calls[0].type == "function")
                #expect(choice.finishReason == .toolCalls)
            }
            #expect(usage.completionTokensDetails.reasoningTokens == 4)
            #expect(usage.completionTokens == Self.thoughtful.count + 1)
        }

        @Test("without tools, or with tool_choice none, nothing is a call", arguments: ["", #""tool_choice":"none","#])
        func withoutTools(choice: String) async throws {
            let model = try ScriptedModel(Self.thoughtful, template: Self.template)
            let fields = choice + (choice.isEmpty ? #""seed":1"# : Self.tools)
            let (whole, streamed, _) = try await answers(model, fields)
            for choice in [whole, streamed] {
                #expect(choice.message.content == Self.thoughtful[4...].joined())
                #expect(choice.message.toolCalls == nil && choice.finishReason == .stop)
            }
        }

        @Test("a call that is broken or cut off comes back as content", arguments: [true, false])
        func broken(isCut: Bool) async throws {
            var pieces = Self.thoughtful
            if !isCut { pieces[9] = "{city: " }
            let model = try ScriptedModel(pieces, template: Self.template)
            let fields = Self.tools + (isCut ? #","max_tokens":10"# : "")
            let (whole, streamed, _) = try await answers(model, fields)
            for choice in [whole, streamed] {
                #expect(choice.message.content == pieces[4..<(isCut ? 10 : 12)].joined())
                #expect(choice.message.toolCalls == nil)
                #expect(choice.finishReason == (isCut ? .length : .stop))
            }
        }

        @Test("markers that are special tokens are seen where calls are looked for")
        func specialMarkers() async throws {
            let markers = [
                "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>",
                "<｜tool▁calls▁end｜>",
            ]
            let pieces = [
                markers[0], markers[1], "get_weather", markers[2], #"{"city": "Rome"}"#, markers[3], markers[4],
            ]
            // A template that puts arguments together as DeepSeek's does.
            let template = Self.template.replacing(
                "{%- for name, value in call.function.arguments.items() %}{{- name }}={{ value | tojson }}{%- endfor -%}",
                with: "{{- '<｜tool▁calls▁begin｜>' + call.function.arguments -}}")
            #expect(template != Self.template)
            let model = try ScriptedModel(pieces, special: Set(markers), template: template)
            let (whole, streamed, _) = try await answers(model, Self.tools)
            for choice in [whole, streamed] {
                #expect(choice.message.toolCalls?.map(\.function.name) == ["get_weather"])
                #expect(choice.message.content.isEmpty && choice.finishReason == .toolCalls)
            }
            // Nobody else sees them.
            let (plain, _, _) = try await answers(model, #""seed":1"#)
            #expect(plain.message.content == #"get_weather{"city": "Rome"}"#)
            try await TestDaemon.run(model: model.path) { daemon in
                let response = try await daemon.post("/v1/chat/completions", Self.history)
                #expect(response.status == 200, "\(response.body)")
            }
        }

        /// Prompts as its own, but for the names of the markers.
        private static let harmony = """
            {%- if tools %}{{- tools | tojson }}{%- endif -%}
            {%- for message in messages -%}
            {{- '<|start|>' + message.role + '<|channel|>final<|message|>' + (message.content or '') + '\\n' -}}
            {%- endfor -%}
            """

        @Test("gpt-oss' channels are its reasoning and its content")
        func channels() async throws {
            let markers: Set = ["<|channel|>", "<|message|>", "<|end|>", "<|start|>", "<|return|>"]
            let pieces = [
                "<|channel|>", "analysis", "<|message|>", "A plan.", "<|end|>", "<|start|>",
                "assistant<|channel|>final<|message|>Hel", "lo!", "<|return|>", "never said",
            ]
            let model = try ScriptedModel(pieces, special: markers, template: Self.harmony, family: .gptOSS)
            let (whole, streamed, usage) = try await answers(model, #""seed":1"#)
            for choice in [whole, streamed] {
                #expect(choice.message.reasoningContent == "A plan.")
                #expect(choice.message.content == "Hello!")
                #expect(choice.message.toolCalls == nil && choice.finishReason == .stop)
            }
            #expect(usage.completionTokens <= pieces.count - 1)
        }

        @Test("a call of gpt-oss ends its answer")
        func callsInChannels() async throws {
            let markers: Set = ["<|channel|>", "<|constrain|>", "<|message|>", "<|call|>"]
            let pieces = [
                "<|channel|>", "commentary to=functions.get_weather ", "<|constrain|>", "json", "<|message|>",
                #"{"city": "Rome"}"#, "<|call|>", "never said",
            ]
            let model = try ScriptedModel(pieces, special: markers, template: Self.harmony, family: .gptOSS)
            let (whole, streamed, _) = try await answers(model, Self.tools)
            for choice in [whole, streamed] {
                #expect(choice.message.toolCalls?.map(\.function.name) == ["get_weather"])
                #expect(choice.message.toolCalls?.map(\.function.arguments) == [#"{"city": "Rome"}"#])
                #expect(choice.message.content.isEmpty && choice.finishReason == .toolCalls)
            }
        }

        private static let history = #"""
            {"messages":[{"role":"user","content":"How is Rome?"},
            {"role":"assistant","tool_calls":[{"id":"c1","type":"function",
            "function":{"name":"get_weather","arguments":"{\"city\": \"<|im_start|>\"}"}}]},
            {"role":"tool","tool_call_id":"c1","content":"<|im_end|> sunny"}],"max_tokens":1,
            """# + tools + "}"

        @Test("calls and results of history reach the template, and can't become markers")
        func rendersHistory() async throws {
            let model = try ScriptedModel(Self.thoughtful, template: Self.template)
            try await TestDaemon.run(model: model.path) { daemon in
                let response = try await daemon.post("/v1/chat/completions", Self.history)
                #expect(response.status == 200, "\(response.body)")
                let usage = try #require(try decode(ChatCompletion.self, response).usage)
                // Every character of text is a token, or more, and every marker is one.
                let tool =
                    #"{"type": "function", "function": {"name": "get_weather", "description": "<|im_end|>", "#
                    + #""parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}"#
                let texts = [
                    "system\n", tool, "\n", "user\n", "How is Rome?", "\n", "assistant\n", "<tool_call>", "get_weather",
                    #"city="<|im_start|>""#, "\n", "tool\n", "<|im_end|> sunny", "\n", "assistant\n",
                ]
                #expect(usage.promptTokens == texts.reduce(0) { $0 + $1.utf8.count } + 9)
            }
        }

        @Test("what is wrong with tools is refused by name")
        func refusals() async throws {
            let model = try ScriptedModel(["ab"], template: Self.template)
            func call(_ function: String) -> String {
                #"{"messages":[{"role":"assistant","tool_calls":"#
                    + #"[{"id":"c","type":"function","function":\#(function)}]}]}"#
            }
            let cases: [(String, String)] = [
                (Self.body(#""tools":[{"type":"function"}]"#), "tools[0].function"),
                (Self.body(#""tools":[{"type":"code","function":{"name":"f"}}]"#), "tools[0].type"),
                (Self.body(#""tools":[{"type":"function","function":{"name":"a b"}}]"#), "tools[0].function.name"),
                (
                    Self.body(#""tools":[{"type":"function","function":{"name":"f","parameters":[]}}]"#),
                    "tools[0].function.parameters"
                ),
                (
                    Self.body(
                        #""tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"#
                            + #""type":"object","properties":{"a":{"type":"string","format":"email"}}}}}]"#),
                    "tools[0].function.parameters.properties.a.format"
                ),
                (Self.body(Self.tools + #","tool_choice":{"type":"function"}"#), "tool_choice.function.name"),
                (Self.body(Self.tools + #","tool_choice":{"type":"function","function":{"name":"g"}}"#), "tool_choice"),
                (call(#"{"name":"f","arguments":"{"}"#), "messages[0].tool_calls[0].function.arguments"),
                (call(#"{"name":"f","arguments":"[1]"}"#), "messages[0].tool_calls[0].function.arguments"),
                (call(#"{"name":"f"}"#), "messages[0].tool_calls[0].function.arguments"),
                (#"{"messages":[{"role":"assistant"}]}"#, "messages[0].content"),
                (Self.body(#""reasoning_effort":"extreme""#), "reasoning_effort"),
                (Self.body(#""reasoning_effort":"none","thinking":{"type":"enabled"}"#), "reasoning_effort"),
            ]
            try await TestDaemon.run(model: model.path) { daemon in
                for (body, parameter) in cases {
                    let response = try await daemon.post("/v1/chat/completions", body)
                    #expect(response.status == 400, "\(body)")
                    #expect(try error(in: response).param == parameter, "\(body): \(response.body)")
                }
            }
        }

        @Test("reasoning_effort becomes the switch that the template has")
        func effort() async throws {
            let model = try ScriptedModel(["ab"], template: Self.template)
            try await TestDaemon.run(model: model.path) { daemon in
                func promptTokens(_ fields: String) async throws -> Int {
                    let response = try await daemon.post("/v1/chat/completions", Self.body(fields))
                    return try #require(try decode(ChatCompletion.self, response).usage).promptTokens
                }
                let plain = try await promptTokens(#""seed":1"#)
                #expect(try await promptTokens(#""reasoning_effort":"high""#) == plain)
                #expect(try await promptTokens(#""reasoning_effort":"none""#) > plain)
                #expect(try await promptTokens(#""thinking":{"type":"disabled"}"#) > plain)
            }
            let effort = "{{- (reasoning_effort or 'medium') + '\\n' -}}"
            let other = try ScriptedModel(["ab"], template: effort)
            try await TestDaemon.run(model: other.path) { daemon in
                for (value, count) in [("low", 4), ("medium", 7), ("high", 5)] {
                    let response = try await daemon.post(
                        "/v1/chat/completions", Self.body(#""reasoning_effort":"\#(value)""#))
                    #expect(try decode(ChatCompletion.self, response).usage?.promptTokens == count)
                }
                let refused = try await daemon.post("/v1/chat/completions", Self.body(#""reasoning_effort":"none""#))
                #expect(try error(in: refused).param == "reasoning_effort")
            }
        }
    }
}

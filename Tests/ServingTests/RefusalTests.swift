import API
import FoundationEssentials
import Serving
import Testing

extension ServingSuite {
    @Suite("Refusals")
    struct RefusalTests {
        @Test("values out of range, of the wrong kind or unsupported are refused by name")
        func values() async throws {
            try await TestDaemon.run { daemon in
                for (fields, parameter) in Self.bad {
                    let response = try await daemon.chat(fields)
                    #expect(response.status == 400, "\(fields)")
                    #expect(try error(in: response).param == parameter, "\(fields): \(response.body)")
                    #expect(try error(in: response).type == "invalid_request_error")
                }
                for (fields, parameter) in Self.badCompletions {
                    let response = try await daemon.post("/v1/completions", "{\(fields)}")
                    #expect(response.status == 400, "\(fields)")
                    #expect(try error(in: response).param == parameter, "\(fields): \(response.body)")
                }
            }
        }

        static let bad: [(String, String)] = [
            (#""temperature":-0.1"#, "temperature"), (#""temperature":2.1"#, "temperature"),
            (#""temperature":1e999"#, "temperature"), (#""temperature":"hot""#, "temperature"),
            (#""top_p":1.5"#, "top_p"), (#""top_p":-1"#, "top_p"), (#""top_k":-2"#, "top_k"),
            (#""top_k":1.5"#, "top_k"), (#""min_p":2"#, "min_p"), (#""repetition_penalty":0"#, "repetition_penalty"),
            (#""presence_penalty":3"#, "presence_penalty"), (#""frequency_penalty":-3"#, "frequency_penalty"),
            (#""max_tokens":0"#, "max_tokens"), (#""max_tokens":-5"#, "max_tokens"),
            (#""max_tokens":99999999999999999999"#, "max_tokens"),
            (#""max_completion_tokens":0"#, "max_completion_tokens"),
            (#""seed":99999999999999999999999"#, "seed"), (#""seed":"x""#, "seed"), (#""stream":"yes""#, "stream"),
            (#""n":0"#, "n"), (#""n":2"#, "n"), (#""n":9"#, "n"), (#""n":1000000000"#, "n"),
            (#""stop":[\#((0..<17).map { "\"s\($0)\"" }.joined(separator: ","))]"#, "stop"),
            (#""stop":[1]"#, "stop"), (#""stop":"""#, "stop"),
            (#""logprobs":true,"top_logprobs":21"#, "top_logprobs"), (#""top_logprobs":2"#, "top_logprobs"),
            (#""tools":[{"type":"function","function":{"name":"f"}}]"#, "tools"),
            (#""tools":[\#(Array(repeating: "{}", count: 129).joined(separator: ","))]"#, "tools"),
            (#""functions":[{"name":"f"}]"#, "functions"), (#""tool_choice":"required""#, "tool_choice"),
            (#""tool_choice":"maybe""#, "tool_choice"), (#""tool_choice":{"type":"x"}"#, "tool_choice.type"),
            (#""response_format":{"type":"xml"}"#, "response_format.type"),
            (#""response_format":{"type":"json_schema"}"#, "response_format.json_schema"),
            (#""response_format":{"type":"json_schema","json_schema":{}}"#, "response_format.json_schema.schema"),
            (
                #""response_format":{"type":"json_schema","json_schema":{"schema":{"type":"integer","multipleOf":2}}}"#,
                "response_format.json_schema.schema.multipleOf"
            ),
            (
                #""response_format":{"type":"json_schema","json_schema":{"schema":{"items":{"format":"email"}}}}"#,
                "response_format.json_schema.schema.items.format"
            ),
            (#""logit_bias":{"1":5}"#, "logit_bias"), (#""modalities":["audio"]"#, "modalities"),
            (#""audio":{"voice":"x"}"#, "audio"), (#""thinking":{"type":"maybe"}"#, "thinking.type"),
            (#""thinking":true"#, "thinking"), (#""reasoning_effort":"extreme""#, "reasoning_effort"),
            (#""stream_options":{"include_usage":1}"#, "stream_options.include_usage"),
            (#""typical_p":0.5"#, "typical_p"), (#""guided_json":{}"#, "guided_json"),
            (#""moed":{"prefer_resident":1.1}"#, "moed.prefer_resident"), (#""moed":[]"#, "moed"),
            (#""moed":{"prefer_resident":"much"}"#, "moed.prefer_resident"),
            (#""moed":{"drop_cold":-0.1}"#, "moed.drop_cold"), (#""moed":{"drop_cold":1e999}"#, "moed.drop_cold"),
            (#""moed":{"prefer_residents":0.1}"#, "moed.prefer_residents"),
        ]

        static let badCompletions: [(String, String)] = [
            (#""max_tokens":3"#, "prompt"), (#""prompt":[1,2]"#, "prompt"), (#""prompt":"a","suffix":"b""#, "suffix"),
            (#""prompt":"a","best_of":3"#, "best_of"), (#""prompt":"a","logprobs":21"#, "logprobs"),
            (#""prompt":"a","moed":{"drop_cold":2}"#, "moed.drop_cold"),
            (#""prompt":"a","response_format":{"type":"json_object"}"#, "response_format.type"),
            (#""prompt":"a","n":2"#, "n"), (#""prompt":"a","model":7"#, "model"), (#""prompt":"a","echo":"x""#, "echo"),
        ]

        @Test(
            "messages that can't be rendered are refused by name",
            arguments: [
                (#"[]"#, "messages"), (#""hi""#, "messages"), (#"[{"role":"user"}]"#, "messages[0].content"),
                (#"[{"content":"x"}]"#, "messages[0].role"),
                (#"[{"role":"tool","content":"x"}]"#, "messages[0].role"),
                (#"[{"role":"user","content":7}]"#, "messages[0].content"),
                (
                    #"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]"#,
                    "messages[0].content[0]"
                ),
                (#"[{"role":"user","content":[{"type":"text"}]}]"#, "messages[0].content[0].text"),
                (#"[{"role":"assistant","content":"x","tool_calls":[{}]}]"#, "messages[0].tool_calls[0].id"),
                (#"[{"role":"user","content":"x","prefix":true}]"#, "messages"),
            ])
        func messages(messages: String, parameter: String) async throws {
            let response = try await TestDaemon.run {
                try await $0.post("/v1/chat/completions", #"{"messages":\#(messages)}"#)
            }
            #expect(response.status == 400)
            #expect(try error(in: response).param == parameter)
        }

        @Test("fields that ask for nothing, or that nobody knows, are taken")
        func harmless() async throws {
            let fields = #"""
                "max_tokens":2,"n":1,"tools":[],"tool_choice":"none","functions":null,"logit_bias":{},"user":"me",
                "metadata":{"a":"b"},"response_format":{"type":"text"},"modalities":["text"],"store":false,
                "parallel_tool_calls":true,"stop":null,"seed":-3,"top_k":-1,"top_p":0,"stream_options":null,"x_new":[1]
                """#
            let response = try await TestDaemon.run { try await $0.chat(fields) }
            #expect(response.status == 200, "\(response.body)")
        }

        @Test("content parts that are text are taken together")
        func contentParts() async throws {
            try await TestDaemon.run { daemon in
                let parts = try await daemon.post(
                    "/v1/chat/completions",
                    #"{"messages":[{"role":"developer","content":"Be kind."},{"role":"user","content":"#
                        + #"[{"type":"text","text":"Tell me "},{"type":"text","text":"a story."}]}],"#
                        + #""max_tokens":9,"temperature":0}"#)
                let plain = try await daemon.post(
                    "/v1/chat/completions",
                    #"{"messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"Tell me a story."}],"#
                        + #""max_tokens":9,"temperature":0}"#)
                let first = try decode(ChatCompletion.self, parts)
                let second = try decode(ChatCompletion.self, plain)
                #expect(first.choices == second.choices)
                #expect(first.usage?.promptTokens == second.usage?.promptTokens)
            }
        }

        @Test("an unknown model, an unknown path and a wrong method each have their status")
        func notFound() async throws {
            try await TestDaemon.run { daemon in
                let model = try await daemon.post(
                    "/v1/chat/completions", #"{"model":"gpt-4","messages":[{"role":"user","content":"x"}]}"#)
                #expect(model.status == 404)
                #expect(try error(in: model).code == "model_not_found")
                #expect(try error(in: model).param == "model")
                #expect(try await daemon.get("/v1/models/gpt-4").status == 404)
                #expect(try await daemon.get("/v1/embeddings").status == 404)
                #expect(try await daemon.get("/").status == 404)
                let method = try await daemon.get("/v1/chat/completions")
                #expect(method.status == 405)
                #expect(method.headers["allow"] == "POST")
                #expect(try await daemon.post("/health", "{}").status == 405)
            }
        }

        @Test("a prompt longer than the context is refused, not cut")
        func contextLength() async throws {
            try await TestDaemon.run { daemon in
                let long = String(repeating: "word ", count: 3000)
                for (path, body, field) in [
                    ("/v1/chat/completions", TestDaemon.chatBody(#""stream":true"#, long), "messages"),
                    ("/v1/completions", #"{"prompt":"\#(long)"}"#, "prompt"),
                ] {
                    let response = try await daemon.post(path, body)
                    #expect(response.status == 400)
                    let details = try error(in: response)
                    #expect(details.code == "context_length_exceeded")
                    #expect(details.param == field)
                    #expect(details.message.contains("2048"))
                }
            }
        }

        @Test("a full queue is 429 with the time to come again")
        func queueFull() async throws {
            try await TestDaemon.run(queueLimit: 1, sequences: 1) { daemon in
                let first = try await daemon.connect()
                try await first.send(TestDaemon.endless)
                _ = try await first.read(until: "data: ")
                let second = try await daemon.connect()
                try await second.send(TestDaemon.endless)
                _ = try await daemon.wait { $0.queue.waiting == 1 }
                let refused = try await daemon.chat(#""max_tokens":1"#)
                #expect(refused.status == 429)
                #expect(try error(in: refused).code == "queue_full")
                #expect((refused.headers["retry-after"].flatMap { Int($0) } ?? 0) > 0)
                first.close()
                second.close()
                _ = try await daemon.wait { $0.state == .idle && $0.queue.waiting == 0 }
                #expect(try await daemon.chat(#""max_tokens":1"#).status == 200)
            }
        }

        @Test(
            "bodies that aren't JSON as it should be are refused",
            arguments: [
                "", "{", "[]", "null", "7", #"{"messages":NaN}"#, #"{"messages":[],}"#, "{\"a\":\"\u{1}\"}",
                #"{"messages":[{"role":"user","content":"\ud800"}]}"#,
                #"{"messages":[{"role":"user","content":"\udc00\ud800"}]}"#,
                #"{"messages":[{"role":"user","content":"x"}],"n":1,"n":1}"#, #"{"a":Infinity}"#, #"{"a":01}"#,
                #"{"messages":[{"role":"user","content":"x"}]} {}"#,
            ])
        func malformedJSON(body: String) async throws {
            let response = try await TestDaemon.run { try await $0.post("/v1/chat/completions", body) }
            #expect(response.status == 400)
        }

        @Test("nesting without end and bytes that aren't UTF-8 are refused, and the daemon lives on")
        func hostileJSON() async throws {
            try await TestDaemon.run { daemon in
                let deep = try await daemon.post("/v1/chat/completions", String(repeating: "[", count: 100_000))
                #expect(deep.status == 400)
                #expect(try error(in: deep).message.contains("64"))
                let objects = String(repeating: #"{"a":"#, count: 100_000)
                #expect(try await daemon.post("/v1/completions", objects).status == 400)
                let connection = try await daemon.connect()
                try await connection.send("POST /v1/completions HTTP/1.1\r\ncontent-length: 16\r\n\r\n{\"prompt\":\"")
                try await connection.send([0xFF, 0xC0, 0x80, UInt8(ascii: "\""), UInt8(ascii: "}")])
                #expect(try await connection.response().status == 400)
                #expect(try await daemon.get("/health").status == 200)
            }
        }
    }
}

import API
import DemoSupport
import FoundationEssentials
import Serving
import Testing

extension ServingSuite {
    @Suite("The wire")
    struct WireTests {
        @Test("a stream begins with the role, ends with the finish reason and [DONE], and has no id lines")
        func streamShape() async throws {
            let response = try await TestDaemon.run { try await $0.chat(#""stream":true,"max_tokens":12,"seed":1"#) }
            #expect(response.status == 200)
            #expect(response.headers["content-type"] == "text/event-stream")
            #expect(response.isComplete)
            #expect(response.lines.last == "data: [DONE]")
            #expect(response.lines.allSatisfy { $0.hasPrefix("data: ") || $0.hasPrefix(":") })
            let chunks = try response.chunks
            #expect(chunks.first?.choices.first?.delta.role == "assistant")
            #expect(chunks.dropFirst().allSatisfy { $0.choices.first?.delta.role == nil })
            #expect(chunks.last?.choices.first?.finishReason == .length)
            #expect(chunks.dropLast().allSatisfy { $0.choices.first?.finishReason == nil })
            #expect(chunks.allSatisfy { $0.choices.map(\.index) == [0] && $0.usage == nil })
            #expect(Set(chunks.map(\.id)).count == 1)
            #expect(chunks.allSatisfy { $0.systemFingerprint?.hasPrefix("moed-") == true })
        }

        @Test("usage comes only when asked for, last, and with no choices")
        func usage() async throws {
            let response = try await TestDaemon.run {
                try await $0.chat(#""stream":true,"max_tokens":5,"stream_options":{"include_usage":true}"#)
            }
            let chunks = try response.chunks
            let usage = try #require(chunks.last?.usage)
            #expect(chunks.last?.choices == [])
            #expect(chunks.dropLast().allSatisfy { $0.usage == nil && !$0.choices.isEmpty })
            #expect(usage.completionTokens == 5)
            #expect(usage.promptCacheHitTokens + usage.promptCacheMissTokens == usage.promptTokens)
            #expect(usage.totalTokens == usage.promptTokens + 5)
        }

        @Test("what a conversation shares with an earlier prompt is said to come from the cache, and changes nothing")
        func promptCache() async throws {
            let story = String(repeating: "The dog ran to the park and saw a ball. ", count: 12)
            let fields = #""max_tokens":20,"temperature":0"#
            let fresh = try await TestDaemon.run {
                try decode(ChatCompletion.self, await $0.chat(fields, story + "What did it see?"))
            }
            let expected = try #require(fresh.usage)
            #expect(expected.promptCacheHitTokens == 0)
            try await TestDaemon.run { daemon in
                _ = try await daemon.chat(fields, story + "Who ran?")
                let body = TestDaemon.chatBody(
                    fields + #","stream":true,"stream_options":{"include_usage":true}"#, story + "What did it see?")
                let chunks = try await daemon.post("/v1/chat/completions", body).chunks
                let usage = try #require(chunks.last?.usage)
                #expect(usage.promptTokens == expected.promptTokens)
                #expect(usage.promptCacheHitTokens > usage.promptTokens - 12)
                #expect(usage.promptCacheHitTokens + usage.promptCacheMissTokens == usage.promptTokens)
                #expect(usage.promptTokensDetails.cachedTokens == usage.promptCacheHitTokens)
                let text = chunks.compactMap { $0.choices.first?.delta.content }.joined()
                #expect(text == fresh.choices.first?.message.content)
            }
        }

        @Test("a stream and a whole answer with one seed have the same text")
        func seeds() async throws {
            try await TestDaemon.run { daemon in
                let fields = #""max_tokens":40,"temperature":0.9,"seed":7"#
                let whole = try decode(ChatCompletion.self, await daemon.chat(fields))
                let again = try decode(ChatCompletion.self, await daemon.chat(fields))
                let streamed = try await daemon.chat(fields + #","stream":true"#).chunks
                let other = try decode(
                    ChatCompletion.self, await daemon.chat(#""max_tokens":40,"temperature":0.9,"seed":8"#))
                let text = try #require(whole.choices.first).message.content
                #expect(!text.isEmpty)
                #expect(again.choices == whole.choices)
                #expect(streamed.compactMap { $0.choices.first?.delta.content }.joined() == text)
                #expect(other.choices.first?.message.content != text)
                #expect(whole.usage?.completionTokens == 40)
                #expect(whole.choices.first?.message.reasoningContent == nil)
            }
        }

        @Test("reasoning is split off at </think>, streamed and whole")
        func reasoning() async throws {
            try await TestDaemon.run { daemon in
                let fields = #""max_tokens":120,"temperature":0,"thinking":{"type":"enabled"}"#
                let whole = try decode(ChatCompletion.self, await daemon.chat(fields))
                let streamed = try await daemon.chat(fields + #","stream":true"#).chunks
                let message = try #require(whole.choices.first).message
                let reasoning = try #require(message.reasoningContent)
                #expect(!reasoning.isEmpty)
                #expect(!reasoning.contains("</think>"))
                #expect(try #require(whole.usage).completionTokensDetails.reasoningTokens > 0)
                #expect(streamed.compactMap { $0.choices.first?.delta.reasoningContent }.joined() == reasoning)
                #expect(streamed.compactMap { $0.choices.first?.delta.content }.joined() == message.content)
                // Nothing carries both, and no reasoning follows content.
                let kinds = streamed.compactMap(\.choices.first?.delta).map {
                    ($0.reasoningContent?.isEmpty == false, $0.content?.isEmpty == false)
                }
                #expect(kinds.allSatisfy { !($0.0 && $0.1) })
                let firstContent = kinds.firstIndex { $0.1 } ?? kinds.count
                #expect(kinds[firstContent...].allSatisfy { !$0.0 })
            }
        }

        @Test("an answer continues the prefix that it is given")
        func prefix() async throws {
            try await TestDaemon.run { daemon in
                func body(_ start: String) -> String {
                    #"{"messages":[{"role":"user","content":"Tell me a story."},"#
                        + #"{"role":"assistant","content":"\#(start)","prefix":true}],"max_tokens":8,"temperature":0}"#
                }
                let response = try await daemon.post("/beta/chat/completions", body("Once upon a"))
                let text = try #require(try decode(ChatCompletion.self, response).choices.first).message.content
                #expect(text.hasPrefix(" time"))
            }
        }

        @Test("a stop string ends the answer, isn't part of it, and is found across tokens")
        func stop() async throws {
            try await TestDaemon.run { daemon in
                let fields = #""max_tokens":60,"temperature":0"#
                let whole = try decode(ChatCompletion.self, await daemon.chat(fields))
                let text = try #require(whole.choices.first).message.content
                // A piece from the middle of the answer, cut through its words.
                let stop = String(text.dropFirst(21).prefix(9))
                let encoded = String(decoding: try JSONEncoder().encode([stop]), as: UTF8.self)
                let stopped = try decode(ChatCompletion.self, await daemon.chat(fields + #","stop":\#(encoded)"#))
                let choice = try #require(stopped.choices.first)
                #expect(choice.finishReason == .stop)
                #expect(text.hasPrefix(choice.message.content + stop))
            }
        }

        @Test("logprobs stand beside their tokens, streamed and whole")
        func logprobs() async throws {
            try await TestDaemon.run { daemon in
                let fields = #""max_tokens":10,"temperature":0,"logprobs":true,"top_logprobs":3"#
                let whole = try decode(ChatCompletion.self, await daemon.chat(fields))
                let choice = try #require(whole.choices.first)
                let tokens = try #require(choice.logprobs).content
                #expect(tokens.count == 10)
                #expect(tokens.map(\.token).joined() == choice.message.content)
                #expect(tokens.allSatisfy { $0.topLogprobs.count == 3 && $0.logprob <= 0 })
                // Greedy: the chosen one is the likeliest.
                #expect(tokens.allSatisfy { $0.topLogprobs.first?.token == $0.token })
                let streamed = try await daemon.chat(fields + #","stream":true"#).chunks
                #expect(streamed.flatMap { $0.choices.first?.logprobs?.content ?? [] } == tokens)
            }
        }

        @Test("plain completions: text, echo, offsets, stream")
        func completions() async throws {
            try await TestDaemon.run { daemon in
                let body = #"{"prompt":"Once upon a time","max_tokens":6,"temperature":0,"logprobs":1,"echo":true}"#
                let response = try await daemon.post("/v1/completions", body)
                let whole = try decode(Completion.self, response)
                let choice = try #require(whole.choices.first)
                #expect(choice.text.hasPrefix("Once upon a time, there was"))
                let logprobs = try #require(choice.logprobs)
                let offsets = logprobs.textOffset
                #expect(offsets.first == "Once upon a time".count)
                #expect(zip(logprobs.tokens, offsets).allSatisfy { choice.text.dropFirst($1).hasPrefix($0) })
                #expect(whole.usage?.completionTokens == 6)
                let stream = try await daemon.post("/completions", String(body.dropLast()) + #","stream":true}"#)
                let chunks = try stream.events.map { try JSONDecoder().decode(Completion.self, from: Data($0.utf8)) }
                #expect(chunks.compactMap(\.choices.first?.text).joined() == choice.text)
                #expect(chunks.allSatisfy { $0.usage == nil })
            }
        }

        @Test("every answer has its date, its id, and on errors the four keys")
        func headers() async throws {
            try await TestDaemon.run { daemon in
                for path in ["/v1/models", "/nothing", "/v1/models/other", "/health"] {
                    let response = try await daemon.get(path)
                    #expect(response.headers["date"]?.hasSuffix(" GMT") == true)
                    #expect(response.headers["x-request-id"]?.hasPrefix("req-") == true)
                    guard response.status >= 400 else { continue }
                    for key in ["message", "type", "param", "code"] { #expect(response.body.contains("\"\(key)\":")) }
                }
            }
        }

        @Test("models, health and status say what is served")
        func description() async throws {
            try await TestDaemon.run { daemon in
                let list = try decode(ModelList.self, await daemon.get("/v1/models"))
                #expect(list.data.map(\.id) == ["demo"])
                #expect(list.data.first?.contextLength == 2048)
                for path in ["/v1/models/demo", "/models/demo", "/v1/models/%64emo"] {
                    #expect(try decode(ModelDescription.self, await daemon.get(path)).id == "demo")
                }
                #expect(try decode(Health.self, await daemon.get("/health")).status == .ok)
                _ = try await daemon.chat(#""max_tokens":4"#)
                let status = try await daemon.status()
                #expect(status.state == .idle)
                #expect(status.model.family == "deepseek_v3")
                #expect(status.model.parameterCount > status.model.activeParameterCount)
                #expect(status.throughput.completionTokenCount == 4)
                #expect(status.throughput.requestCount == 1)
                #expect(status.paging.missCount > 0)
                #expect(status.paging.byteCount > 0)
                #expect(status.memory.expertCount == 128)
                let layers = try #require(status.paging.layers)
                #expect(layers.reduce(0) { $0 + $1.hitCount } == status.paging.hitCount)
                #expect(layers.reduce(0) { $0 + $1.missCount } == status.paging.missCount)
                #expect(layers.reduce(0) { $0 + $1.readCount } == status.paging.readCount)
                #expect(layers.reduce(0) { $0 + $1.byteCount } == status.paging.byteCount)
                #expect(layers.reduce(0) { $0 + $1.residentCount } == status.paging.residentCount)
                let tokens = status.throughput.promptTokenCount + status.throughput.completionTokenCount
                let perToken = try #require(status.paging.perToken)
                #expect(abs(perToken.byteCount * Double(tokens) - Double(status.paging.byteCount)) < 1)
                #expect(try #require(status.paging.occupancy) > 0)

                let use = try decode(ExpertUse.self, await daemon.get("/moed/experts"))
                #expect(use.layers.map(\.layer) == Array(use.layers[0].layer..<use.layers[0].layer + use.layers.count))
                #expect(use.layers.allSatisfy { $0.popularity.count == $0.isResident.count })
                #expect(use.layers.reduce(0) { $0 + $1.popularity.count } == 128)
                #expect(use.layers.reduce(0) { $0 + $1.hitCount } == status.paging.hitCount)
                #expect(
                    use.layers.reduce(0) { $0 + $1.useCount } == status.paging.hitCount + status.paging.missCount)
                #expect(
                    use.layers.reduce(0) { $0 + $1.isResident.count { $0 } } == status.paging.residentCount)

                let metrics = try await daemon.get("/metrics")
                #expect(metrics.headers["content-type"]?.hasPrefix("text/plain; version=0.0.4") == true)
                let lines = metrics.body.split(separator: "\n")
                #expect(lines.contains("moed_tokens_total{kind=\"completion\"} 4"))
                for layer in try #require(status.paging.layers) {
                    #expect(lines.contains("moed_expert_reads_total{layer=\"\(layer.layer)\"} \(layer.readCount)"))
                    #expect(lines.contains("moed_expert_read_bytes_total{layer=\"\(layer.layer)\"} \(layer.byteCount)"))
                }
                for line in lines where !line.hasPrefix("#") {
                    #expect(line.split(separator: " ").last.flatMap { Double($0) } != nil, "\(line)")
                    let name = line.prefix { $0 != " " && $0 != "{" }
                    #expect(lines.contains { $0.hasPrefix("# TYPE \(name) ") }, "\(line)")
                }
            }
        }

        @Test("a waiting prompt and a running one speak of their progress")
        func progress() async throws {
            var limits = ServerLimits()
            limits.progressInterval = .milliseconds(10)
            try await TestDaemon.run(limits: limits) { daemon in
                let long = String(repeating: "The dog ran to the park and saw a ball. ", count: 150)
                let body = TestDaemon.chatBody(#""stream":true,"max_tokens":2"#, long)
                async let first = daemon.post("/v1/chat/completions", body)
                async let second = daemon.post("/v1/chat/completions", body)
                let answers = try await [first, second]
                let comments = answers.flatMap(\.comments)
                #expect(comments.contains { $0.wholeMatch(of: /: prefill \d+\/\d+/) != nil })
                #expect(comments.contains { $0.hasPrefix(": queued ") })
                for answer in answers {
                    #expect(try answer.chunks.first?.choices.first?.delta.role == "assistant")
                    #expect(answer.lines.last == "data: [DONE]")
                }
            }
        }

        @Test("an answer that fails on the way ends with an error event and without the last chunk")
        func failureInStream() async throws {
            let copy = try DemoCopy()
            try await TestDaemon.run(model: copy.path) { daemon in
                try copy.flipExperts()
                let streamed = try await daemon.post("/v1/chat/completions", TestDaemon.chatBody(#""stream":true"#))
                #expect(streamed.status == 200)
                #expect(!streamed.isComplete)
                #expect(!streamed.lines.contains("data: [DONE]"))
                let last = try #require(streamed.events.last)
                let event = try JSONDecoder().decode(ErrorResponse.self, from: Data(last.utf8))
                #expect(event.error.code == "model_io_error")

                let whole = try await daemon.post("/v1/chat/completions", TestDaemon.chatBody(""))
                #expect(whole.status == 500)
                #expect(try error(in: whole).code == "model_io_error")
                #expect(whole.headers["x-should-retry"] == "false")
                #expect(try await daemon.get("/health").status == 200)

                // The daemon lives on: what is mended works again.
                try copy.flipExperts()
                let mended = try await daemon.post("/v1/chat/completions", TestDaemon.chatBody(#""max_tokens":3"#))
                #expect(mended.status == 200)
            }
        }
    }
}

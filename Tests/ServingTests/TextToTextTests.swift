import API
import DemoSupport
import FoundationEssentials
import Model
import Serving
import Testing

extension ServingSuite {
    @Suite("An encoder-decoder")
    struct TextToTextTests {
        private static func body(_ fields: String, _ prompt: String = SwitchContainer.prompt)
            -> String
        {
            #"{"prompt":"\#(prompt)",\#(fields)}"#
        }

        @Test("makes one text of another, counts both, and says what its experts had no room for")
        func completions() async throws {
            let container = try SwitchContainer()
            try await TestDaemon.run(model: container.path) { daemon in
                let response = try await daemon.post("/v1/completions", Self.body(#""max_tokens":24,"temperature":0"#))
                #expect(response.status == 200, "\(response.body)")
                let whole = try decode(Completion.self, response)
                let choice = try #require(whole.choices.first)
                #expect(choice.text == SwitchContainer.answer)
                #expect(choice.finishReason == .length)
                let usage = try #require(whole.usage)
                // The prompt's letters and the end of the text.
                #expect(usage.promptTokens == 40 && usage.completionTokens == 24 && usage.totalTokens == 64)
                #expect(usage.promptCacheHitTokens == 0)
                let dropped = try #require(usage.droppedTokens)
                #expect(dropped > 0)

                let fields = #""max_tokens":24,"temperature":0,"stream":true,"stream_options":{"include_usage":true}"#
                let stream = try await daemon.post("/v1/completions", Self.body(fields))
                let chunks = try stream.events.map { try JSONDecoder().decode(Completion.self, from: Data($0.utf8)) }
                #expect(chunks.compactMap(\.choices.first?.text).joined() == choice.text)
                #expect(chunks.last?.usage == usage)
                #expect(stream.lines.last == "data: [DONE]")

                let status = try await daemon.status()
                #expect(status.throughput.droppedTokenCount == 2 * dropped)
                #expect(status.throughput.promptTokenCount == 80)
                let metrics = try await daemon.get("/metrics").body
                #expect(metrics.contains("moed_tokens_dropped_total \(2 * dropped)\n"))
            }
        }

        @Test("reads and writes words with a Unigram tokenizer")
        func words() async throws {
            let fields = #""max_tokens":24,"temperature":0,"logprobs":1"#
            func whole(_ tokens: SwitchContainer.Tokens, _ prompt: String) async throws -> Completion {
                let container = try SwitchContainer(tokens: tokens)
                return try await TestDaemon.run(model: container.path) { daemon in
                    let response = try await daemon.post("/v1/completions", Self.body(fields, prompt))
                    #expect(response.status == 200, "\(response.body)")
                    return try decode(Completion.self, response)
                }
            }
            let letters = try await whole(.letters, SwitchContainer.prompt)
            // As T5's tokenizers do, it passes over white space around words.
            let words = try await whole(.words, " \(SwitchContainer.words.replacing(" said", with: "  said"))")
            let choice = try #require(words.choices.first)
            #expect(choice.text == Array(repeating: "time", count: 24).joined(separator: " "))
            // The same tokens went in, to the last bit of what comes out.
            #expect(words.usage == letters.usage && words.usage?.promptTokens == 40)
            let expected = try #require(letters.choices.first?.logprobs?.tokenLogprobs)
            #expect(choice.logprobs?.tokenLogprobs == expected && expected.count == 24)
        }

        @Test("samples by the seed, stops, and depends on nobody beside it")
        func sampling() async throws {
            let container = try SwitchContainer()
            try await TestDaemon.run(model: container.path, sequences: 3) { daemon in
                @Sendable func text(_ fields: String, _ prompt: String = "summarize: one two three") async throws
                    -> String
                {
                    let response = try await daemon.post("/v1/completions", Self.body(fields, prompt))
                    return try #require(try decode(Completion.self, response).choices.first).text
                }
                let stopped = try await daemon.post(
                    "/v1/completions", Self.body(#""max_tokens":24,"temperature":0,"stop":"aaa""#))
                let choice = try #require(try decode(Completion.self, stopped).choices.first)
                #expect(choice.text.isEmpty && choice.finishReason == .stop)

                let fields = (1...3).map { #""max_tokens":40,"temperature":2,"seed":\#($0)"# }
                let alone = try await text(fields[0])
                let again = try await text(fields[0])
                let otherSeed = try await text(fields[1])
                let otherPrompt = try await text(fields[0], "summarize: four five six")
                #expect(again == alone && otherSeed != alone && otherPrompt != alone)
                async let first = text(fields[0])
                async let second = text(fields[1], "something else")
                async let third = text(fields[2], "something else that is somewhat longer than the others are")
                let together = try await [first, second, third]
                #expect(together[0] == alone)
            }
        }

        @Test("holds no conversation")
        func conversations() async throws {
            let container = try SwitchContainer()
            try await TestDaemon.run(model: container.path) { daemon in
                let refused = try await daemon.post(
                    "/v1/chat/completions", #"{"messages":[{"role":"user","content":"Hello"}]}"#)
                #expect(refused.status == 400)
                let details = try error(in: refused)
                #expect(details.param == "messages" && details.message.contains("/v1/completions"))
                #expect(daemon.model.warnings.allSatisfy { !$0.contains("conversations") })
            }
        }

        @Test("refuses what its context doesn't hold, and answers what it just holds")
        func context() async throws {
            let container = try SwitchContainer()
            var options = ServedModel.Options()
            options.plan.context = 64
            try await TestDaemon.run(model: container.path, options: options) { daemon in
                let fields = #""max_tokens":9,"temperature":0"#
                let long = try await daemon.post(
                    "/v1/completions", Self.body(fields, String(repeating: "b", count: 63)))
                #expect(long.status == 400)
                #expect(try error(in: long).code == "context_length_exceeded")
                for (count, expected) in [(62, 1), (60, 2), (50, 9)] {
                    let response = try await daemon.post(
                        "/v1/completions", Self.body(fields, String(repeating: "b", count: count)))
                    #expect(try decode(Completion.self, response).usage?.completionTokens == expected)
                }
            }
        }
    }
}

import API
import FoundationEssentials
import Testing

@Suite("The wire types")
struct WireFormatTests {
    private func object(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    @Test("an error always has its four keys")
    func errorKeys() throws {
        let text = try object(ErrorResponse(.init(message: "no", type: "invalid_request_error")))
        #expect(text == #"{"error":{"code":null,"message":"no","param":null,"type":"invalid_request_error"}}"#)
    }

    @Test("a chunk says null until it is finished, and leaves out what it doesn't carry")
    func chunkKeys() throws {
        let chunk = ChatCompletionChunk(
            id: "a", created: 1, model: "m", systemFingerprint: "f",
            choices: [.init(index: 0, delta: .init(content: "x"))])
        #expect(
            try object(chunk) == """
                {"choices":[{"delta":{"content":"x"},"finish_reason":null,"index":0,"logprobs":null}],"created":1,\
                "id":"a","model":"m","object":"chat.completion.chunk","system_fingerprint":"f"}
                """)
    }

    @Test("whole answers have the keys of their forms, null where there is nothing to say")
    func wholeKeys() throws {
        let usage = Usage(promptTokens: 3, completionTokens: 2, reasoningTokens: 0)
        let chat = ChatCompletion(
            id: "a", created: 1, model: "m", systemFingerprint: nil,
            choices: [.init(index: 0, message: .init(content: "x", reasoningContent: "y"), finishReason: .stop)],
            usage: usage)
        #expect(
            try object(chat) == """
                {"choices":[{"finish_reason":"stop","index":0,"logprobs":null,"message":{"content":"x",\
                "reasoning_content":"y","role":"assistant"}}],"created":1,"id":"a","model":"m",\
                "object":"chat.completion","usage":\(object(usage))}
                """)
        let completion = Completion(
            id: "a", created: 1, model: "m", systemFingerprint: "f", choices: [.init(index: 0, text: "x")])
        #expect(
            try object(completion) == """
                {"choices":[{"finish_reason":null,"index":0,"logprobs":null,"text":"x"}],"created":1,"id":"a",\
                "model":"m","object":"text_completion","system_fingerprint":"f"}
                """)
    }

    @Test("cache hits and misses add up to the prompt", arguments: [(10, 0), (10, 4), (10, 10), (0, 0)])
    func usage(prompt: Int, cached: Int) throws {
        let usage = Usage(promptTokens: prompt, cachedTokens: cached, completionTokens: 7, reasoningTokens: 3)
        #expect(usage.promptCacheHitTokens + usage.promptCacheMissTokens == prompt)
        #expect(usage.totalTokens == prompt + 7)
        let text = try object(usage)
        #expect(text.contains(#""completion_tokens_details":{"reasoning_tokens":3}"#))
        #expect(text.contains(#""prompt_tokens_details":{"cached_tokens":\#(cached)}"#))
    }

    @Test(
        "message content comes as text, as parts or as null",
        arguments: [
            (#""hello""#, "hello"), ("null", ""), ("[]", ""),
            (#"[{"type":"text","text":"hel"},{"type":"text","text":"lo"}]"#, "hello"),
        ])
    func content(json: String, expected: String) throws {
        #expect(try JSONDecoder().decode(MessageContent.self, from: Data(json.utf8)).text == expected)
    }

    @Test(
        "stop strings come as one or as many",
        arguments: [(#""a""#, ["a"]), (#"["a","b"]"#, ["a", "b"]), ("null", [])])
    func stop(json: String, expected: [String]) throws {
        #expect(try JSONDecoder().decode(StopStrings.self, from: Data(json.utf8)).strings == expected)
    }

    @Test("a request survives the wire")
    func requestRoundTrip() throws {
        var request = ChatCompletionRequest(
            model: "demo",
            messages: [
                .init(role: .system, content: "Be brief."), .init(role: .user, content: "Grüß Gott, 世界"),
                .init(role: .assistant, content: "He", reasoningContent: "hm", prefix: true),
            ])
        request.streamOptions = StreamOptions(includeUsage: true)
        request.stop = StopStrings(["\n\n"])
        request.thinking = .init(type: .enabled)
        request.maxTokens = 12
        let data = try JSONEncoder().encode(request)
        #expect(try JSONDecoder().decode(ChatCompletionRequest.self, from: data) == request)
        #expect(String(decoding: data, as: UTF8.self).contains(#""include_usage":true"#))
    }

    @Test("a daemon listens where its client looks", arguments: [true, false])
    func socketPlaces(isRoot: Bool) {
        for directory in [nil, "/run/user/1000"] {
            let place = SocketPlace.listening(isRoot: isRoot, runtimeDirectory: directory)
            #expect(SocketPlace.candidates(runtimeDirectory: directory).contains(place))
        }
        #expect(SocketPlace.candidates(runtimeDirectory: "relative") == [SocketPlace.system])
    }
}

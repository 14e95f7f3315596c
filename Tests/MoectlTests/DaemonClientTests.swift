import API
import TestSupport
import Testing
import moectl

@Suite struct DaemonClientTests {
    private static func chunk(_ delta: String, finish: String = "null") -> String {
        #"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":"#
            + #"[{"index":0,"delta":\#(delta),"logprobs":null,"finish_reason":\#(finish)}]}"# + "\n\n"
    }

    private static let usage =
        #"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":"#
        + #"{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_cache_hit_tokens":0,"#
        + #""prompt_cache_miss_tokens":3,"prompt_tokens_details":{"cached_tokens":0},"#
        + #""completion_tokens_details":{"reasoning_tokens":1}}}"# + "\n\n"

    private static let request = ChatCompletionRequest(
        model: "m", messages: [.init(role: .user, content: "Hello")])

    private func client(_ server: ScriptedServer) -> DaemonClient {
        DaemonClient(SocketLocation(option: server.path, environment: { _ in nil }))
    }

    private func events(_ server: ScriptedServer) async throws -> [AnswerEvent] {
        var events: [AnswerEvent] = []
        try await client(server).streamAnswer(Self.request) { events.append($0) }
        return events
    }

    private func failure(_ operation: () async throws -> Void) async throws -> ClientError {
        try #require(
            await #expect(throws: ClientError.self) {
                try await operation()
            })
    }

    @Test func modelsAreListed() async throws {
        let server = try ScriptedServer([
            .json(
                #"{"object":"list","data":[{"id":"demo","object":"model","created":7,"owned_by":"moed","#
                    + #""context_length":4096}]}"#)
        ])
        let models = try await client(server).models()
        #expect(models.data.map(\.id) == ["demo"])
        #expect(models.data.first?.contextLength == 4096)
        let lines = try #require(server.requests.first).split(separator: "\r\n")
        #expect(lines.first == "GET /v1/models HTTP/1.1")
        #expect(lines.contains { $0.lowercased() == "host: localhost" })
    }

    @Test func streamedAnswerArrivesEventByEvent() async throws {
        let server = try ScriptedServer([
            .events([
                ": queued\n\n", ": queued 2\n\n", ": prefill 1/3\n\n",
                Self.chunk(#"{"role":"assistant","content":""}"#),
                Self.chunk(#"{"reasoning_content":"Hm."}"#), Self.chunk(#"{"content":"Hé"}"#),
                Self.chunk("{}", finish: #""stop""#), Self.usage, "data: [DONE]\n\n",
            ])
        ])
        let expected: [AnswerEvent] = [
            .queued(2), .prefill(processed: 1, total: 3), .reasoning("Hm."), .content("Hé"), .finished(.stop),
            .usage(Usage(promptTokens: 3, completionTokens: 2, reasoningTokens: 1)),
        ]
        #expect(try await events(server) == expected)
        let asked = try #require(server.requests.first)
        #expect(asked.hasPrefix("POST /v1/chat/completions HTTP/1.1\r\n"))
        #expect(asked.contains(#""include_usage":true"#))
        #expect(asked.contains(#""stream":true"#))
    }

    @Test(arguments: [
        ("400 Bad Request", "context_length_exceeded", ClientError.Code.refused),
        ("404 Not Found", "model_not_found", .refused),
        ("429 Too Many Requests", "queue_full", .busy),
        ("503 Service Unavailable", "draining", .busy),
        ("500 Internal Server Error", "model_io_error", .failed),
    ])
    func refusalCarriesTheDaemonsWords(status: String, code: String, expected: ClientError.Code) async throws {
        let body = #"{"error":{"message":"because of \#(code)","type":"t","param":null,"code":"\#(code)"}}"#
        let server = try ScriptedServer([.json(body, status: status), .json(body, status: status)])
        let client = client(server)
        let streamed = try await failure { try await client.streamAnswer(Self.request) { _ in } }
        #expect(streamed.code == expected)
        #expect(streamed.message == "because of \(code)")
        let whole = try await failure { _ = try await client.wholeAnswer(Self.request) }
        #expect(whole == streamed)
    }

    @Test func refusalWithoutTheUsualBodyNamesTheStatus() async throws {
        let server = try ScriptedServer([.json("<html>", status: "502 Bad Gateway")])
        let error = try await failure { _ = try await client(server).models() }
        #expect(error.code == .failed)
        #expect(error.message.contains("502"))
    }

    @Test func failureInTheMiddleOfAStreamIsAnError() async throws {
        let server = try ScriptedServer([
            .events(
                [
                    Self.chunk(#"{"content":"He"}"#),
                    #"data: {"error":{"message":"disk on fire","type":"server_error","param":null,"code":"x"}}"#
                        + "\n\n",
                ], isComplete: false)
        ])
        var text: [AnswerEvent] = []
        let error = try await failure {
            try await client(server).streamAnswer(Self.request) { text.append($0) }
        }
        #expect(error.message == "disk on fire")
        #expect(error.code == .failed)
        #expect(text == [.content("He")])
    }

    @Test(arguments: [true, false])
    func cutStreamIsAnError(hasFinalChunk: Bool) async throws {
        let server = try ScriptedServer([.events([Self.chunk(#"{"content":"He"}"#)], isComplete: hasFinalChunk)])
        let error = try await failure { _ = try await events(server) }
        #expect(error.code == .badAnswer)
        #expect(error.message.contains("in the middle"))
    }

    @Test(arguments: [
        "", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "SSH-2.0\r\n\r\n",
    ])
    func brokenAnswerIsAnError(answer: String) async throws {
        let server = try ScriptedServer([.init(pieces: [answer])])
        let error = try await failure { _ = try await client(server).models() }
        #expect(error.code == .badAnswer)
    }

    @Test func answerOfAnotherShapeIsAnError() async throws {
        let server = try ScriptedServer([.json(#"{"data":5}"#), .events(["data: {\"choices\":7}\n\n"])])
        let client = client(server)
        #expect(try await failure { _ = try await client.models() }.code == .badAnswer)
        #expect(try await failure { try await client.streamAnswer(Self.request) { _ in } }.code == .badAnswer)
    }

    @Test func cancellationClosesTheConnection() async throws {
        let server = try ScriptedServer([
            .events([Self.chunk(#"{"content":"He"}"#)], isComplete: false, waitsForClient: true)
        ])
        let client = client(server)
        let task = Task { try await client.streamAnswer(Self.request) { _ in } }
        while server.requests.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        try await Task.sleep(for: .milliseconds(50))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(server.seesClientClose())
    }

    @Test func nobodyListeningIsSaidPlainly() async throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/absent.sock"
        let client = DaemonClient(SocketLocation(option: path, environment: { _ in nil }))
        let error = try await failure { _ = try await client.models() }
        #expect(error.code == .unavailable)
        #expect(error.message.contains(path))
        #expect(error.description.contains("systemctl start moed.socket"))
        #expect(error.description.contains("moed serve"))
    }

    @Test func pathThatNoSocketCanHaveIsNamed() async throws {
        let path = "/tmp/" + String(repeating: "x", count: 120)
        let client = DaemonClient(SocketLocation(option: path, environment: { _ in nil }))
        let error = try await failure { _ = try await client.models() }
        #expect(error.code == .usage)
        #expect(error.message.contains("107"))
    }
}

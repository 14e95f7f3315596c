import API
import FoundationEssentials

/// Asks a daemon that is a process of its own.
struct ProcessClient: Sendable {
    let moed: MoedProcess
    let socket: String

    func get(_ path: String) async throws -> RawResponse {
        let connection = try await moed.connect(socket)
        try await connection.send("GET \(path) HTTP/1.1\r\n\r\n")
        return try await connection.response()
    }

    func status() async throws -> Status { try await decode(Status.self, get("/moed/status")) }

    /// A completion whose text depends on the prompt and the seed alone.
    func complete(
        _ prompt: String = "Once upon a time", seed: Int, tokens: Int, within time: Duration = .seconds(60)
    ) async throws -> RawResponse {
        let connection = try await moed.connect(socket)
        let body = #"{"prompt":"\#(prompt)","max_tokens":\#(tokens),"temperature":1,"seed":\#(seed)}"#
        try await connection.send(TestDaemon.post("/v1/completions", body))
        return try await connection.response(within: time)
    }

    func text(_ prompt: String = "Once upon a time", seed: Int, tokens: Int) async throws -> String {
        try decode(Completion.self, await complete(prompt, seed: seed, tokens: tokens)).choices.map(\.text).joined()
    }

    /// Waits for something to become so.
    @discardableResult
    func wait(
        within time: Duration = .seconds(30), until condition: @Sendable (Status) -> Bool
    ) async throws -> Status {
        let start = ContinuousClock.now
        while ContinuousClock.now - start < time {
            let status = try await status()
            if condition(status) { return status }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw RawConnection.TimedOut()
    }

    /// Asks it to stop, and returns its log.
    func stop() async throws -> MoedProcess.Ending {
        moed.signal(15)
        return try await moed.ending()
    }
}

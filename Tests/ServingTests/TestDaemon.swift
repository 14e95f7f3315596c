import API
import DemoSupport
import FoundationEssentials
import Logging
import Model
import ServiceLifecycle
import Serving
import TestSupport

/// A daemon in this process, over a real socket and the real demonstration model.
struct TestDaemon: Sendable {
    let socket: String
    let model: ServedModel
    private let group: ServiceGroup

    /// Runs a daemon around `body`.
    static func run<Value: Sendable>(
        model path: String? = nil, limits: ServerLimits = ServerLimits(), queueLimit: Int = 8, expertSlots: Int? = nil,
        sequences: Int? = nil, options: ServedModel.Options = ServedModel.Options(),
        _ body: @Sendable (TestDaemon) async throws -> Value
    ) async throws -> Value {
        let directory = try TemporaryDirectory()
        let socket = "\(directory.path)/moed.sock"
        var options = options
        options.plan.memory = 1 << 30
        options.plan.chunk = 32
        options.plan.expertSlots = expertSlots
        options.plan.sequences = sequences
        options.threadCount = 1
        options.queueLimit = queueLimit
        let path = try path ?? DemoContainer.path()
        let model = try ServedModel.load(path: path, options: options)
        let listener = try SocketListener.bind(path: socket, mode: 0o600, group: nil, backlog: 512)
        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        let daemon = Daemon(model: model, listener: listener, limits: limits, logger: logger)
        let group = ServiceGroup(configuration: .init(services: [.init(service: daemon)], logger: logger))
        return try await withThrowingTaskGroup { tasks in
            tasks.addTask { try await group.run() }
            defer { withExtendedLifetime(directory) {} }
            do {
                let value = try await body(TestDaemon(socket: socket, model: model, group: group))
                await group.triggerGracefulShutdown()
                try await tasks.waitForAll()
                return value
            } catch {
                await group.triggerGracefulShutdown()
                throw error
            }
        }
    }

    func stop() async { await group.triggerGracefulShutdown() }

    /// Connecting may wait for the daemon, which needs the cooperative pool's threads meanwhile.
    func connect() async throws -> RawConnection {
        try await RawConnection.blocking { [socket] in try RawConnection(socket) }
    }

    func get(_ path: String) async throws -> RawResponse {
        let connection = try await connect()
        try await connection.send("GET \(path) HTTP/1.1\r\nhost: anything\r\n\r\n")
        return try await connection.response()
    }

    static func post(_ path: String, _ body: String) -> String {
        "POST \(path) HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            + "content-length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    func post(_ path: String, _ body: String) async throws -> RawResponse {
        let connection = try await connect()
        try await connection.send(Self.post(path, body))
        return try await connection.response()
    }

    func chat(_ fields: String, _ prompt: String = "Tell me a story about a cat.") async throws -> RawResponse {
        try await post("/v1/chat/completions", Self.chatBody(fields, prompt))
    }

    static func chatBody(_ fields: String, _ prompt: String = "Tell me a story about a cat.") -> String {
        #"{"model":"demo","messages":[{"role":"user","content":"\#(prompt)"}]\#(fields.isEmpty ? "" : ",")\#(fields)}"#
    }

    /// A request that streams until the context is full, or the client goes away: it repeats itself.
    static let endless = post(
        "/v1/completions",
        #"{"prompt":"Once upon a time","max_tokens":2000,"temperature":0,"frequency_penalty":-2,"stream":true}"#)

    func status() async throws -> Status {
        try await decode(Status.self, get("/moed/status"))
    }

    /// Waits for something to become so, for at most some seconds.
    func wait(
        within time: Duration = .seconds(10), until condition: @Sendable (Status) -> Bool
    ) async throws -> Duration {
        let start = ContinuousClock.now
        while ContinuousClock.now - start < time {
            if condition(try await status()) { return ContinuousClock.now - start }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw RawConnection.TimedOut()
    }
}

func decode<Value: Decodable>(_ type: Value.Type, _ response: RawResponse) throws -> Value {
    try JSONDecoder().decode(type, from: Data(response.body.utf8))
}

func error(in response: RawResponse) throws -> ErrorResponse.Details {
    try decode(ErrorResponse.self, response).error
}

extension RawResponse {
    /// The JSON of the events, the end marker left out.
    var events: [String] {
        lines.compactMap { $0.hasPrefix("data: {") ? String($0.dropFirst(6)) : nil }
    }

    var chunks: [ChatCompletionChunk] {
        get throws {
            try events.map { try JSONDecoder().decode(ChatCompletionChunk.self, from: Data($0.utf8)) }
        }
    }

    var comments: [String] { lines.filter { $0.hasPrefix(":") } }
}

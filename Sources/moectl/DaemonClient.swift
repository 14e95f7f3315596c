package import API
import FoundationEssentials
import JSON
import NIOCore
import NIOHTTP1

/// The daemon's endpoints, as far as `moectl` uses them.
package struct DaemonClient: Sendable {
    package let location: SocketLocation

    package init(_ location: SocketLocation) {
        self.location = location
    }

    package func models() async throws -> ModelList {
        try Self.decode(await get("/v1/models"))
    }

    package func status() async throws -> Status {
        try Self.decode(await get("/moed/status"))
    }

    package func experts() async throws -> ExpertUse {
        try Self.decode(await get("/moed/experts"))
    }

    /// The daemon's answer as it came, for `--json`.
    package func get(_ path: String) async throws -> [UInt8] {
        try await DaemonConnection(location).send(.GET, path) { head, body in
            try await Self.checked(head, body.collect())
        }
    }

    /// A whole answer as it came, for `--json`.
    package func wholeAnswer(_ request: ChatCompletionRequest) async throws -> [UInt8] {
        var request = request
        request.stream = false
        return try await DaemonConnection(location).send(.POST, Self.chatPath, body: Self.encode(request)) {
            head, body in
            try await Self.checked(head, body.collect())
        }
    }

    /// An answer event by event; returns when it is complete.
    package func streamAnswer(
        _ request: ChatCompletionRequest, onEvent: (AnswerEvent) throws -> Void
    ) async throws {
        var request = request
        request.stream = true
        request.streamOptions = StreamOptions(includeUsage: true)
        try await DaemonConnection(location).send(.POST, Self.chatPath, body: Self.encode(request)) {
            head, body in
            guard head.status == .ok else {
                _ = try Self.checked(head, await body.collect())
                return
            }
            var reader = AnswerReader()
            while let piece = try await body.next() {
                for event in try reader.append(piece.readableBytesView) { try onEvent(event) }
            }
            try reader.finish()
        }
    }

    private static let chatPath = "/v1/chat/completions"

    private static func checked(_ head: HTTPResponseHead, _ body: [UInt8]) throws(ClientError) -> [UInt8] {
        guard head.status == .ok else {
            let details = try? StrictJSON.decode(ErrorResponse.self, from: body, limits: .answer).error
            throw ClientError(status: Int(head.status.code), details: details)
        }
        return body
    }

    private static func encode(_ request: ChatCompletionRequest) throws -> [UInt8] {
        Array(try JSONEncoder().encode(request))
    }

    private static func decode<Value: Decodable>(_ body: [UInt8]) throws(ClientError) -> Value {
        do {
            return try StrictJSON.decode(Value.self, from: body, limits: .answer)
        } catch {
            throw ClientError(
                .badAnswer, "the daemon's answer isn't understood: \(error)",
                advice: "moed and moectl should be of the same version.")
        }
    }
}

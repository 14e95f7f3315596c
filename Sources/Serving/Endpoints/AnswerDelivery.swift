import Generation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import Synchronization

/// Carries a running answer to its client, streamed or whole.
struct AnswerDelivery<Writer: AnswerWriter>: Sendable {
    let stream: GenerationStream
    let writer: Writer
    let connection: RequestConnection

    /// The answer as server-sent events.
    ///
    /// No event has an `id:`: the official client would take the comment that follows one for an empty event. An answer
    /// that fails after its head ends with an error event, and without the last chunk, so that no client takes it for
    /// complete.
    func streamed() -> Response {
        let body = ResponseBody { body in
            var writer = writer
            let progress = Progress()
            try await body.write(Self.events(writer.begin()))
            connection.reportProgress { progress.comment }
            do {
                for try await event in stream {
                    progress.record(event)
                    switch event {
                    case .queued, .prefill:
                        break
                    case .text(let delta):
                        let events = writer.append(delta)
                        if !events.isEmpty { try await body.write(Self.events(events)) }
                    case .finished(let completion):
                        log(completion)
                        var last = Self.events(writer.finish(completion))
                        last.writeString("data: [DONE]\n\n")
                        try await body.write(last)
                    }
                }
            } catch let error as GenerationError {
                progress.end()
                guard error.code != .cancelled else { throw error }
                connection.logger.warning("the answer failed", metadata: ["error": "\(error)"])
                try await body.write(Self.events([APIError(error).body]))
                throw error
            }
            try await body.finish(nil)
        }
        var fields = HTTPFields()
        fields[.contentType] = "text/event-stream"
        fields[.cacheControl] = "no-cache"
        return Response(status: .ok, headers: fields, body: body)
    }

    func whole() async throws -> Response {
        var writer = writer
        var text = TextDelta()
        var completion: Generation.Completion?
        do {
            for try await event in stream {
                switch event {
                case .queued, .prefill:
                    break
                case .text(let delta):
                    text.text += delta.text
                    text.tokenCount += delta.tokenCount
                    text.logProbabilities += delta.logProbabilities
                case .finished(let end):
                    log(end)
                    completion = end
                }
            }
        } catch {
            throw APIError(error)
        }
        guard let completion else { throw APIError.internalError("the answer ended without its end") }
        return Response(
            status: .ok, headers: [.contentType: "application/json"],
            body: .init(byteBuffer: ByteBuffer(bytes: writer.whole(text, completion))))
    }

    private func log(_ completion: Generation.Completion) {
        let usage = completion.usage
        let seconds = completion.timing.decode.seconds
        let rate = seconds > 0 ? Int((Double(usage.completionTokens) / seconds).rounded()) : 0
        var metadata: Logger.Metadata = [
            "prompt_tokens": "\(usage.promptTokens)", "completion_tokens": "\(usage.completionTokens)",
            "tokens_per_second": "\(rate)", "finish_reason": "\(completion.reason.rawValue)",
        ]
        if let dropped = usage.droppedTokens { metadata["dropped_tokens"] = "\(dropped)" }
        connection.logger.info("answered", metadata: metadata)
    }

    private static func events(_ texts: [[UInt8]]) -> ByteBuffer {
        var buffer = ByteBuffer()
        for text in texts {
            buffer.writeString("data: ")
            buffer.writeBytes(text)
            buffer.writeString("\n\n")
        }
        return buffer
    }
}

/// What a stream's comments say while its prompt waits or is being computed.
private final class Progress: Sendable {
    private let state = Mutex<String?>("queued")

    /// nil once text has come.
    var comment: String? { state.withLock(\.self) }

    func record(_ event: GenerationEvent) {
        state.withLock { state in
            switch event {
            case .queued(let position): state = "queued \(position)"
            case .prefill(let processed, let total): state = "prefill \(processed)/\(total)"
            case .text, .finished: state = nil
            }
        }
    }

    func end() { state.withLock { $0 = nil } }
}

extension APIError {
    init(_ error: GenerationError) {
        switch error.code {
        case .queueFull:
            self = APIError(.tooManyRequests, type: "rate_limit_error", code: "queue_full", error.message)
            let seconds = max(1, Int((error.retryAfter ?? .seconds(2)).seconds.rounded(.up)))
            headers[.retryAfter] = "\(min(seconds, 120))"
        case .contextLengthExceeded:
            self = APIError(.badRequest, code: "context_length_exceeded", error.message)
        case .invalidRequest:
            self = .invalid(nil, error.message)
        case .constraintFailed:
            self = APIError(.badRequest, code: "constraint_failed", error.message)
        case .modelInputOutput:
            self = .modelIO(error.message)
        case .draining:
            self = .draining
        case .cancelled, .internal:
            self = .internalError(error.message)
        }
    }
}

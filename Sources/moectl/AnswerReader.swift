package import API
import JSON

/// What a streamed answer consists of.
package enum AnswerEvent: Equatable, Sendable {
    /// How many requests are answered before this one.
    case queued(Int)
    /// How much of the prompt the model has read.
    case prefill(processed: Int, total: Int)
    case reasoning(String)
    case content(String)
    case finished(FinishReason)
    case usage(Usage)
    /// The answer was made with lossy help.
    case lossy(LossyReport)
}

/// Turns the bytes of a streamed `/v1/chat/completions` into what they mean.
package struct AnswerReader {
    private var parser = EventStreamParser()
    private var isFinished = false

    package init() {}

    package mutating func append(_ bytes: some Sequence<UInt8>) throws(ClientError) -> [AnswerEvent] {
        var events: [AnswerEvent] = []
        for event in try parser.append(bytes) {
            switch event {
            case .comment(let text): events += Self.progress(text).map { [$0] } ?? []
            case .data("[DONE]"): isFinished = true
            case .data(let json): events += try answer(json)
            }
        }
        return events
    }

    /// Throws unless the answer came to its end.
    package func finish() throws(ClientError) {
        guard isFinished else { throw ClientError.cutShort }
    }

    private func answer(_ json: String) throws(ClientError) -> [AnswerEvent] {
        let bytes = Array(json.utf8)
        let chunk: ChatCompletionChunk
        do {
            chunk = try StrictJSON.decode(ChatCompletionChunk.self, from: bytes, limits: .answer)
        } catch {
            if let failure = try? StrictJSON.decode(ErrorResponse.self, from: bytes, limits: .answer) {
                throw ClientError(streamed: failure.error)
            }
            throw ClientError(
                .badAnswer, "the daemon sent an event that isn't understood: \(json.prefix(200))",
                advice: "moed and moectl should be of the same version.")
        }
        var events: [AnswerEvent] = []
        if let choice = chunk.choices.first {
            if let text = choice.delta.reasoningContent, !text.isEmpty { events.append(.reasoning(text)) }
            if let text = choice.delta.content, !text.isEmpty { events.append(.content(text)) }
            if let reason = choice.finishReason { events.append(.finished(reason)) }
        }
        if let usage = chunk.usage { events.append(.usage(usage)) }
        if let report = chunk.moed { events.append(.lossy(report)) }
        return events
    }

    /// `queued 3`, `prefill 512/2048`
    private static func progress(_ comment: String) -> AnswerEvent? {
        let words = comment.split(separator: " ")
        guard words.count >= 2 else { return nil }
        if words[0] == "queued" { return Int(words[1]).map { .queued($0) } }
        guard words[0] == "prefill" else { return nil }
        let counts = words[1].split(separator: "/").compactMap { Int($0) }
        guard counts.count == 2, counts[1] > 0, 0...counts[1] ~= counts[0] else { return nil }
        return .prefill(processed: counts[0], total: counts[1])
    }
}

extension JSONLimits {
    /// What a daemon may answer, whole or in one event.
    static let answer = JSONLimits(byteCount: 64 << 20, valueCount: 4 << 20)
}

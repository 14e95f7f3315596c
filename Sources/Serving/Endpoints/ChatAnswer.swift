import API
import ChatTemplate
import Generation

/// An answer in the form of `/v1/chat/completions`, its reasoning apart from its content.
struct ChatAnswer: AnswerWriter {
    let identity: AnswerIdentity
    let includesUsage: Bool
    let includesLogprobs: Bool
    private var splitter: ReasoningSplitter
    private let isReasoning: Bool

    init(identity: AnswerIdentity, includesUsage: Bool, includesLogprobs: Bool, isReasoning: Bool) {
        self.identity = identity
        self.includesUsage = includesUsage
        self.includesLogprobs = includesLogprobs
        self.isReasoning = isReasoning
        splitter = ReasoningSplitter(insideReasoning: isReasoning)
    }

    mutating func begin() -> [[UInt8]] {
        [event(.init(role: "assistant", content: ""))]
    }

    mutating func append(_ delta: TextDelta) -> [[UInt8]] {
        events(splitter.append(delta.text), logprobs(delta))
    }

    mutating func finish(_ completion: Generation.Completion) -> [[UInt8]] {
        var events = events(splitter.finish(), nil)
        let lossy = LossyReport(identity.lossy, completion)
        events.append(event(.init(), finishReason: completion.reason.wire, lossy: includesUsage ? nil : lossy))
        if includesUsage { events.append(encode([ChatChunkChoice](), usage: completion.usage, lossy: lossy)) }
        return events
    }

    mutating func whole(_ delta: TextDelta, _ completion: Generation.Completion) -> [UInt8] {
        var message = ChatChoice.Message(content: "", reasoningContent: isReasoning ? "" : nil)
        for segment in splitter.append(delta.text) + splitter.finish() {
            switch segment {
            case .reasoning(let text): message.reasoningContent = (message.reasoningContent ?? "") + text
            case .content(let text): message.content += text
            }
        }
        let choice = ChatChoice(
            index: 0, message: message, logprobs: logprobs(delta), finishReason: completion.reason.wire)
        return encode([choice], usage: completion.usage, lossy: LossyReport(identity.lossy, completion))
    }

    /// One event a segment: a client shows reasoning and content each where it belongs.
    private func events(_ segments: [ReasoningSplitter.Segment], _ logprobs: ChatLogprobs?) -> [[UInt8]] {
        var deltas = segments.map { segment in
            switch segment {
            case .reasoning(let text): ChatChunkChoice.Delta(reasoningContent: text)
            case .content(let text): ChatChunkChoice.Delta(content: text)
            }
        }
        if deltas.isEmpty, let logprobs, !logprobs.content.isEmpty { deltas.append(.init(content: "")) }
        let last = deltas.indices.last
        return deltas.enumerated().map { index, delta in
            event(delta, logprobs: index == last ? logprobs : nil)
        }
    }

    private func event(
        _ delta: ChatChunkChoice.Delta, logprobs: ChatLogprobs? = nil, finishReason: API.FinishReason? = nil,
        lossy: LossyReport? = nil
    ) -> [UInt8] {
        encode(
            [ChatChunkChoice(index: 0, delta: delta, logprobs: logprobs, finishReason: finishReason)], lossy: lossy)
    }

    private func logprobs(_ delta: TextDelta) -> ChatLogprobs? {
        guard includesLogprobs else { return nil }
        return ChatLogprobs(
            content: delta.logProbabilities.map { entry in
                .init(
                    token: String(decoding: entry.bytes, as: UTF8.self), bytes: entry.bytes,
                    logprob: finite(entry.logProbability),
                    topLogprobs: entry.alternatives.map {
                        .init(
                            token: String(decoding: $0.bytes, as: UTF8.self), bytes: $0.bytes,
                            logprob: finite($0.logProbability))
                    })
            })
    }
}

/// JSON has no infinity; this is what other servers say for a token that can't be.
func finite(_ logProbability: Double) -> Double { max(logProbability, -9999) }

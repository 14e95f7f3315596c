import API
import Generation
import ToolCalls

/// An answer in the form of `/v1/chat/completions`: its reasoning, its content and its calls apart.
struct ChatAnswer: AnswerWriter {
    let identity: AnswerIdentity
    let includesUsage: Bool
    let includesLogprobs: Bool
    private var reader: AnswerReader
    private let isReasoning: Bool
    private let choice: ToolChoice.Mode
    private var callCount = 0

    /// - Parameter choice: what the request says of calls.
    init(
        identity: AnswerIdentity, includesUsage: Bool, includesLogprobs: Bool, isReasoning: Bool, reader: AnswerReader,
        choice: ToolChoice.Mode
    ) {
        self.identity = identity
        self.includesUsage = includesUsage
        self.includesLogprobs = includesLogprobs
        self.isReasoning = isReasoning
        self.reader = reader
        self.choice = choice
    }

    mutating func begin() -> [[UInt8]] {
        [event(.init(role: "assistant", content: ""))]
    }

    mutating func append(_ delta: TextDelta) -> [[UInt8]] {
        events(reader.append(delta.text), logprobs(delta))
    }

    mutating func finish(_ completion: Generation.Completion) -> [[UInt8]] {
        var events = events(reader.finish(isWhole: completion.reason == .stop), nil)
        let lossy = LossyReport(identity.lossy, completion)
        events.append(event(.init(), finishReason: finishReason(completion), lossy: includesUsage ? nil : lossy))
        if includesUsage { events.append(encode([ChatChunkChoice](), usage: completion.usage, lossy: lossy)) }
        return events
    }

    mutating func whole(_ delta: TextDelta, _ completion: Generation.Completion) -> [UInt8] {
        var message = ChatChoice.Message(content: "", reasoningContent: isReasoning ? "" : nil)
        for part in reader.append(delta.text) + reader.finish(isWhole: completion.reason == .stop) {
            switch part {
            case .reasoning(let text): message.reasoningContent = (message.reasoningContent ?? "") + text
            case .content(let text): message.content += text
            case .call(let call): message.toolCalls = (message.toolCalls ?? []) + [wire(call, isStreamed: false)]
            }
        }
        let choice = ChatChoice(
            index: 0, message: message, logprobs: logprobs(delta), finishReason: finishReason(completion))
        return encode([choice], usage: completion.usage, lossy: LossyReport(identity.lossy, completion))
    }

    /// OpenAI's service calls the end of a call that was asked for by name `stop`.
    private func finishReason(_ completion: Generation.Completion) -> API.FinishReason {
        if case .named = choice { return completion.reason.wire }
        return completion.reason == .stop && callCount > 0 ? .toolCalls : completion.reason.wire
    }

    private mutating func wire(_ call: ToolCalls.ToolCall, isStreamed: Bool) -> API.ToolCall {
        defer { callCount += 1 }
        return API.ToolCall(
            index: isStreamed ? callCount : nil, id: call.id ?? RequestIdentifier.next(prefix: "call_"),
            name: call.name, arguments: call.arguments)
    }

    /// One event a part: a client shows each where it belongs.
    private mutating func events(_ parts: [AnswerPart], _ logprobs: ChatLogprobs?) -> [[UInt8]] {
        var deltas: [ChatChunkChoice.Delta] = []
        for part in parts {
            switch part {
            case .reasoning(let text): deltas.append(.init(reasoningContent: text))
            case .content(let text): deltas.append(.init(content: text))
            case .call(let call): deltas.append(.init(toolCalls: [wire(call, isStreamed: true)]))
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

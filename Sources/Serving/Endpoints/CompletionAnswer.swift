import API
import Generation

/// An answer in the form of `/v1/completions`.
struct CompletionAnswer: AnswerWriter {
    let identity: AnswerIdentity
    let includesUsage: Bool
    let includesLogprobs: Bool
    /// The prompt, when it is to be repeated before the answer.
    let echo: String?
    /// How far the tokens' texts reach, in Unicode scalars.
    private var textOffset: Int

    init(identity: AnswerIdentity, includesUsage: Bool, includesLogprobs: Bool, echo: String?) {
        self.identity = identity
        self.includesUsage = includesUsage
        self.includesLogprobs = includesLogprobs
        self.echo = echo
        textOffset = echo?.unicodeScalars.count ?? 0
    }

    mutating func begin() -> [[UInt8]] {
        echo.map { [event($0)] } ?? []
    }

    mutating func append(_ delta: TextDelta) -> [[UInt8]] {
        guard !delta.text.isEmpty || !delta.logProbabilities.isEmpty else { return [] }
        return [event(delta.text, logprobs: logprobs(delta))]
    }

    mutating func finish(_ completion: Generation.Completion) -> [[UInt8]] {
        let lossy = LossyReport(identity.lossy, completion)
        var events = [event("", finishReason: completion.reason.wire, lossy: includesUsage ? nil : lossy)]
        if includesUsage { events.append(encode([TextChoice](), usage: completion.usage, lossy: lossy)) }
        return events
    }

    mutating func whole(_ delta: TextDelta, _ completion: Generation.Completion) -> [UInt8] {
        let choice = TextChoice(
            index: 0, text: (echo ?? "") + delta.text, logprobs: logprobs(delta), finishReason: completion.reason.wire)
        return encode([choice], usage: completion.usage, lossy: LossyReport(identity.lossy, completion))
    }

    private func event(
        _ text: String, logprobs: CompletionLogprobs? = nil, finishReason: API.FinishReason? = nil,
        lossy: LossyReport? = nil
    ) -> [UInt8] {
        encode([TextChoice(index: 0, text: text, logprobs: logprobs, finishReason: finishReason)], lossy: lossy)
    }

    private mutating func logprobs(_ delta: TextDelta) -> CompletionLogprobs? {
        guard includesLogprobs else { return nil }
        var result = CompletionLogprobs(tokens: [], tokenLogprobs: [], topLogprobs: [], textOffset: [])
        for entry in delta.logProbabilities {
            let text = String(decoding: entry.bytes, as: UTF8.self)
            result.tokens.append(text)
            result.tokenLogprobs.append(finite(entry.logProbability))
            result.topLogprobs.append(
                Dictionary(
                    entry.alternatives.map { (String(decoding: $0.bytes, as: UTF8.self), finite($0.logProbability)) },
                    uniquingKeysWith: max))
            result.textOffset.append(textOffset)
            textOffset += text.unicodeScalars.count
        }
        return result
    }
}

extension Generation.FinishReason {
    var wire: API.FinishReason {
        switch self {
        case .stop: .stop
        case .length: .length
        }
    }
}

extension TokenUsage {
    var wire: Usage {
        Usage(
            promptTokens: promptTokens, cachedTokens: cachedTokens, completionTokens: completionTokens,
            reasoningTokens: reasoningTokens, droppedTokens: droppedTokens)
    }
}

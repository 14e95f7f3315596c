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
        echo.map { [event(.init(index: 0, text: $0))] } ?? []
    }

    mutating func append(_ delta: TextDelta) -> [[UInt8]] {
        guard !delta.text.isEmpty || !delta.logProbabilities.isEmpty else { return [] }
        return [event(.init(index: 0, text: delta.text, logprobs: logprobs(delta)))]
    }

    mutating func finish(_ completion: Generation.Completion) -> [[UInt8]] {
        var events = [event(.init(index: 0, text: "", finishReason: completion.reason.wire))]
        if includesUsage {
            events.append(WireJSON.encode(object([], usage: completion.usage.wire)))
        }
        return events
    }

    mutating func whole(_ delta: TextDelta, _ completion: Generation.Completion) -> [UInt8] {
        let choice = API.Completion.Choice(
            index: 0, text: (echo ?? "") + delta.text, logprobs: logprobs(delta), finishReason: completion.reason.wire)
        return WireJSON.encode(object([choice], usage: completion.usage.wire))
    }

    private func event(_ choice: API.Completion.Choice) -> [UInt8] {
        WireJSON.encode(object([choice], usage: nil))
    }

    private func object(_ choices: [API.Completion.Choice], usage: Usage?) -> API.Completion {
        API.Completion(
            id: identity.id, created: identity.created, model: identity.model,
            systemFingerprint: identity.fingerprint, choices: choices, usage: usage)
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
        Usage(promptTokens: promptTokens, completionTokens: completionTokens, reasoningTokens: reasoningTokens)
    }
}

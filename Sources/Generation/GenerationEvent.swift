package import Model

/// What a reader learns of its answer. What comes faster than it reads is joined: texts grow together, and of places
/// and progress only the latest is kept.
package enum GenerationEvent: Sendable, Equatable {
    /// Waiting behind so many other requests.
    case queued(position: Int)
    /// So many of the prompt's tokens are computed.
    case prefill(processed: Int, total: Int)
    case text(TextDelta)
    /// The last event.
    case finished(Completion)
}

/// More of the answer: whole characters, never part of a stop string.
package struct TextDelta: Sendable, Equatable {
    package var text = ""
    /// Tokens that were chosen since the last delta, those without visible text included.
    package var tokenCount = 0
    /// One a token whose text has been shown; empty unless asked for.
    package var logProbabilities: [TokenLogProbability] = []

    package init() {}

    var isEmpty: Bool { tokenCount == 0 && text.isEmpty && logProbabilities.isEmpty }

    mutating func append(_ other: TextDelta) {
        text += other.text
        tokenCount += other.tokenCount
        logProbabilities += other.logProbabilities
    }
}

package enum FinishReason: String, Sendable {
    /// An end-of-sequence token or a stop string.
    case stop
    /// The maximum of tokens, or the end of the context.
    case length
}

package struct TokenUsage: Sendable, Equatable {
    package var promptTokens = 0
    /// Those of them that an earlier prompt began with and that weren't computed again.
    package var cachedTokens = 0
    /// Every token that was chosen, an end-of-sequence token included.
    package var completionTokens = 0
    /// Those of them that belong to the reasoning.
    package var reasoningTokens = 0
    /// How often one of all tokens was left out in a layer because its expert was full; nil where experts take any number.
    package var droppedTokens: Int?

    package init() {}
}

/// How an answer ended.
package struct Completion: Sendable, Equatable {
    package var reason: FinishReason
    package var usage: TokenUsage
    /// The seed that makes the same answer again.
    package var seed: UInt64
    package var timing: Timing
    /// What lossy help came to, if the request asked for it. What was computed twice, because the answer was put aside,
    /// counts twice.
    package var lossyUse = LossyRouting.Use()

    package struct Timing: Sendable, Equatable {
        package var queued: Duration = .zero
        package var prefill: Duration = .zero
        package var decode: Duration = .zero

        package init() {}
    }
}

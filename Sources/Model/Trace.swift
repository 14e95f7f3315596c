import Container

/// A forward pass whose every result is kept, to be compared with a reference.
package struct Trace: Sendable {
    package struct Request: Sendable {
        package var tokens: [Int32]
        /// One token a step (decode) instead of chunks (prefill).
        package var isStepwise: Bool
        /// Tokens of the prompt that the greedy continuation starts from.
        package var greedyPromptCount: Int
        /// Tokens of prompt and greedy continuation together; 0 for none.
        package var greedyCount: Int

        package init(
            tokens: [Int32], isStepwise: Bool = false, greedyPromptCount: Int = 32, greedyCount: Int = 0
        ) {
            self.tokens = tokens
            self.isStepwise = isStepwise
            self.greedyPromptCount = greedyPromptCount
            self.greedyCount = greedyCount
        }

        /// Positions that the state needs.
        package var contextLength: Int { max(tokens.count, greedyCount, 1) }
    }

    /// [tokens, vocabulary]
    package let logits: [Float]
    /// [layers + 1, tokens, hidden]: after the embedding and after each layer; the last is after the final norm.
    package let hiddenStates: [Float]
    /// The prompt's first tokens and the likeliest ones after them; empty if none were asked for.
    package let greedyTokens: [Int32]

    /// Computes everything with one state, which is as long as the request needs.
    package init(_ request: Request, model: LoadedModel) throws(ModelError) {
        guard request.greedyCount == 0 || 1...request.greedyCount ~= request.greedyPromptCount,
            request.greedyPromptCount <= request.tokens.count || request.greedyCount == 0
        else {
            throw ModelError(
                .invalidOption,
                "the greedy prompt is \(request.greedyPromptCount) tokens long, and it must have 1 to "
                    + "\(min(request.tokens.count, request.greedyCount)): no more than the input and the whole text have"
            )
        }
        let state = try model.makeState()
        let recorder = Recorder(configuration: model.configuration, tokenCount: request.tokens.count)
        if request.isStepwise {
            for token in request.tokens { try unsafe model.decode(token, state: state, observer: recorder) }
        } else {
            try model.prefill(request.tokens[...], state: state, observer: recorder)
        }
        logits = recorder.logits
        hiddenStates = recorder.hiddenStates
        greedyTokens =
            request.greedyCount == 0
            ? []
            : try Self.continueGreedily(
                request.tokens.prefix(request.greedyPromptCount), to: request.greedyCount, model: model, state: state)
    }

    private static func continueGreedily(
        _ prompt: ArraySlice<Int32>, to count: Int, model: LoadedModel, state: DecodingState
    ) throws(ModelError) -> [Int32] {
        var tokens = Array(prompt)
        state.reset()
        try model.prefill(prompt, state: state)
        while tokens.count < count {
            let token = Int32(truncatingIfNeeded: unsafe indexOfMaximum(model.logits))
            tokens.append(token)
            if tokens.count < count { try unsafe model.decode(token, state: state) }
        }
        return tokens
    }

    /// The lowest index among equals.
    private static func indexOfMaximum(_ values: UnsafeBufferPointer<Float>) -> Int {
        var best = 0
        for index in 1..<max(values.count, 1) where unsafe values[index] > values[best] { best = index }
        return best
    }

    private final class Recorder: ForwardObserver {
        var logits: [Float]
        var hiddenStates: [Float]
        private let tokenCount: Int
        private let hiddenSize: Int
        private let vocabularySize: Int

        init(configuration: ModelConfiguration, tokenCount: Int) {
            self.tokenCount = tokenCount
            hiddenSize = configuration.hiddenSize
            vocabularySize = configuration.vocabularySize
            logits = Array(repeating: 0, count: tokenCount * vocabularySize)
            hiddenStates = Array(repeating: 0, count: (configuration.layerCount + 1) * tokenCount * hiddenSize)
        }

        func observe(hiddenStates values: Span<Float>, index: Int, firstPosition: Int) {
            let start = (index * tokenCount + firstPosition) * hiddenSize
            for item in values.indices { hiddenStates[start + item] = values[item] }
        }

        func observe(logits values: Span<Float>, firstPosition: Int) {
            let start = firstPosition * vocabularySize
            for item in values.indices { logits[start + item] = values[item] }
        }
    }
}

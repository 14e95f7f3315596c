import Container
package import Model

/// A forward pass of an encoder-decoder whose every result is kept, to be compared with a reference.
package struct EncoderDecoderTrace: Sendable {
    package struct Request: Sendable {
        /// The encoder's.
        package var inputTokens: [Int32]
        /// What the decoder is given, its start token first.
        package var decoderTokens: [Int32]
        /// Tokens of a greedy answer, the start token included; 0 for none.
        package var greedyCount: Int

        package init(inputTokens: [Int32], decoderTokens: [Int32], greedyCount: Int = 0) {
            self.inputTokens = inputTokens
            self.decoderTokens = decoderTokens
            self.greedyCount = greedyCount
        }

        /// Positions that the plan needs: one of them is the start token's.
        package var contextLength: Int { inputTokens.count + max(decoderTokens.count, greedyCount, 1) + 1 }
    }

    /// [input tokens, hidden]: what the encoder made of the input.
    package let encoderStates: [Float]
    /// [decoder tokens, vocabulary]
    package let logits: [Float]
    /// The start token and the likeliest ones after it; empty if none were asked for.
    package let greedyTokens: [Int32]

    /// How often a token was left out because its expert was full: while the logits were made.
    package let droppedCount: Int

    package init(_ request: Request, model: EncoderDecoderModel) throws(ModelError) {
        guard let first = request.decoderTokens.first, !request.inputTokens.isEmpty else {
            throw ModelError(.invalidOption, "there must be tokens for the encoder and for the decoder")
        }
        let state = try model.makeCache().makeState(capacity: model.plan.contextLength)
        try Self.read(request.inputTokens, startingWith: first, into: state, model)
        let stateCount = request.inputTokens.count * model.configuration.hiddenSize
        encoderStates = unsafe Array(UnsafeBufferPointer(start: model.input.states, count: stateCount))
        var logits = unsafe Array(model.logits)
        for token in request.decoderTokens.dropFirst() {
            logits += try unsafe Array(Self.step(token, state, model))
        }
        self.logits = logits
        droppedCount = state.expertUses?.droppedCount ?? 0
        greedyTokens =
            request.greedyCount == 0
            ? [] : try Self.answer(request.inputTokens, count: request.greedyCount, state, model)
    }

    private static func answer(
        _ input: [Int32], count: Int, _ state: DecodingState, _ model: EncoderDecoderModel
    ) throws(ModelError) -> [Int32] {
        state.reset()
        let start = Int32(truncatingIfNeeded: model.encoder.startToken)
        try read(input, startingWith: start, into: state, model)
        var tokens = [start]
        var logits = unsafe model.logits
        while tokens.count < count {
            // The lowest index among equals.
            let best = logits.indices.reduce(0) { unsafe logits[$1] > logits[$0] ? $1 : $0 }
            tokens.append(Int32(truncatingIfNeeded: best))
            if tokens.count < count { unsafe logits = try step(tokens[tokens.count - 1], state, model) }
        }
        return tokens
    }

    private static func read(
        _ input: [Int32], startingWith token: Int32, into state: DecodingState, _ model: EncoderDecoderModel
    ) throws(ModelError) {
        try model.model.check(CollectionOfOne(token), state)
        var prefill = try model.beginPrefill(input[...], state: state)
        while !prefill.isDone { try model.advance(&prefill, startingWith: token) { false } }
    }

    private static func step(
        _ token: Int32, _ state: DecodingState, _ model: EncoderDecoderModel
    ) throws(ModelError) -> UnsafeBufferPointer<Float> {
        var steps = [SequenceStep(token, state: state)]
        model.step(&steps, stepsAside: false) { _ in false }
        if let failure = steps[0].failure { throw failure }
        return unsafe model.logits(of: steps[0])
    }
}

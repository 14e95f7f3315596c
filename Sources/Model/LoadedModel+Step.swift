import Compute
import Container
import ExpertPaging

/// The two forms of latent attention, which give the same up to rounding.
package enum AttentionForm: Sendable {
    /// The query goes into the latents' space: cheap for one token. Decoding's, so a prefill in this form gives the very
    /// numbers that decoding token by token gives.
    case absorbed
    /// Keys and values come out of the latents: cheap for many tokens.
    case expanded
}

/// One sequence's part in a step of several.
package struct SequenceStep {
    package let state: DecodingState
    /// What is appended to the state.
    package let token: Int32
    /// On return: why the sequence got no further; its state is then as it was.
    package var failure: ModelError?
    /// On return, without a failure: which of the step's logits are its own.
    package var logitsRow = 0

    package init(_ token: Int32, state: DecodingState) {
        self.token = token
        self.state = state
    }
}

extension LoadedModel {
    /// Appends one token to each of several sequences, at most `plan.sequenceCount`, whose logits are then `logits(of:)`.
    ///
    /// Each expert's weights are read once for all tokens that chose it. Nobody's result depends on who else takes part,
    /// and who fails or is cancelled drops out while the others go on.
    ///
    /// - Parameters:
    ///   - stepsAside: whether those who need an expert that is slow to come fail with `.slowExpert`, so that the others
    ///     needn't wait.
    ///   - cancelled: asked for every sequence in every layer.
    package func step(
        _ steps: inout [SequenceStep], stepsAside: Bool = false, cancelled: (Int) -> Bool = { _ in false }
    ) {
        precondition(steps.count <= plan.sequenceCount, "the plan has room for \(plan.sequenceCount) sequences")
        var span = steps.mutableSpan
        step(&span, stepsAside: stepsAside, observer: nil, cancelled: cancelled)
    }

    /// Logits of a sequence's token, until the next step: [vocabulary].
    package func logits(of step: SequenceStep) -> UnsafeBufferPointer<Float> {
        precondition(step.failure == nil, "a failed step has no logits")
        return unsafe logits(row: step.logitsRow)
    }

    /// Appends one token to the state and leaves its logits in `logits`, which it returns.
    ///
    /// - Throws: `ModelError`; the state is then as it was.
    @discardableResult
    package func decode(
        _ token: Int32, state: DecodingState, observer: (any ForwardObserver)? = nil,
        cancelled: () -> Bool = { false }
    ) throws(ModelError) -> UnsafeBufferPointer<Float> {
        var steps: InlineArray<1, SequenceStep> = [SequenceStep(token, state: state)]
        var span = steps.mutableSpan
        step(&span, stepsAside: false, observer: observer) { _ in cancelled() }
        if let failure = steps[0].failure { throw failure }
        return unsafe logits
    }

    private func step(
        _ steps: inout MutableSpan<SequenceStep>, stepsAside: Bool, observer: (any ForwardObserver)?,
        cancelled: (Int) -> Bool
    ) {
        guard !steps.isEmpty else { return }
        beginStep(observer)
        defer { endStep() }
        let pass = scratch.steps
        predictionDuration = .zero
        experts.beginStep()
        defer { experts.endStep(predicting: predictionDuration) }
        pass.begin(sequences: steps.count, form: .absorbed, stepsAside: stepsAside)
        for index in steps.indices {
            let state = steps[index].state
            do {
                try prepare(CollectionOfOne(steps[index].token), state)
                embed(steps[index].token, row: pass.count, of: pass)
                pass.append(
                    position: state.tokenCount, sequence: index, state: state, rotary: rotary, lossy: state.lossy)
            } catch {
                pass.fail(index, error)
            }
        }
        let cache = steps[0].state.cache
        for index in 0..<configuration.layerCount where pass.poll(cancelled) {
            pass.dropFailedRows()
            computeLayer(index, pass, cache: cache, observer: observer, cancelled: cancelled)
        }
        pass.dropFailedRows()
        if pass.count > 0 { computeOutputs(pass, wanted: 0..<pass.count, observer: observer) }
        for index in steps.indices { steps[index].failure = pass.failures[index] }
        for (row, place) in pass.rows.enumerated() {
            steps[place.sequence].logitsRow = row
            steps[place.sequence].state.tokenCount += 1
            steps[place.sequence].state.lossyUse += pass.lossyUses[place.sequence]
        }
    }

    // MARK: Both kinds of passes

    /// Sees that the tokens can be appended, and makes room for them.
    func prepare(_ tokens: some Collection<Int32>, _ state: DecodingState) throws(ModelError) {
        guard configuration.encoder == nil else {
            throw ModelError(
                .unsupported,
                "this model is an encoder-decoder, which makes one text of another and continues none: it can be served and "
                    + "traced, but not measured by what it says of a text")
        }
        try check(tokens, state)
    }

    /// Sees that tokens can be appended, and makes room for them, whatever kind of model it is.
    package func check(_ tokens: some Collection<Int32>, _ state: DecodingState) throws(ModelError) {
        guard tokens.count <= state.capacity - state.tokenCount else {
            throw ModelError(
                .contextExceeded,
                "\(tokens.count) tokens after \(state.tokenCount) pass the context of \(state.capacity) tokens")
        }
        for token in tokens where token < 0 || token >= configuration.vocabularySize {
            throw ModelError(
                .invalidToken, "token \(token) isn't in the vocabulary of \(configuration.vocabularySize)")
        }
        guard state.reserve(tokens.count) else {
            throw ModelError(
                .cacheFull,
                "the KV cache has no room for \(tokens.count) more tokens: all its \(state.cache.blockCount) blocks of "
                    + "\(KeyValueCache.blockLength) are held")
        }
    }

    package func embed(_ token: Int32, row: Int, of pass: ForwardPass) {
        unsafe kernels.dequantizeRow(
            weights.embedding, row: Int(token), into: pass.hidden + row * configuration.hiddenSize)
    }

    /// hidden += attention, then hidden += feed-forward. Failures are the pass's.
    func computeLayer(
        _ index: Int, _ pass: ForwardPass, cache: KeyValueCache, observer: (any ForwardObserver)?,
        cancelled: (Int) -> Bool
    ) {
        if let observer, observer.observesLogits {
            unsafe observer.observe(
                hiddenStates: UnsafeBufferPointer(start: pass.hidden, count: pass.count * configuration.hiddenSize)
                    .span, index: index, firstPosition: pass.rows[0].position)
        }
        addAttention(weights.layers[index].attention, layer: index, pass, cache)
        addFeedForward(weights.layers[index], index: index, pass, cancelled: cancelled)
    }

    /// The final norm and the logits of `wanted` rows, or of all of them for an observer, who sees them first.
    func computeOutputs(_ pass: ForwardPass, wanted: Range<Int>, observer: (any ForwardObserver)?) {
        let size = configuration.hiddenSize
        if observer != nil {
            unsafe norm(weights.outputNorm, pass, rows: 0..<pass.count)
            unsafe showInputs(scratch.floats(.normed), count: pass.count, columns: size, of: .output)
        } else {
            unsafe norm(weights.outputNorm, pass, rows: wanted)
        }
        if let observer, observer.observesLogits {
            let position = pass.rows[0].position
            unsafe observer.observe(
                hiddenStates: scratch.buffer(.normed, pass.count * size).span, index: configuration.layerCount,
                firstPosition: position)
            for start in stride(from: 0, to: pass.count, by: ScratchLayout.logitsBlock) {
                let block = min(ScratchLayout.logitsBlock, pass.count - start)
                computeLogits(start..<start + block)
                unsafe observer.observe(
                    logits: scratch.buffer(.logits, block * configuration.vocabularySize).span,
                    firstPosition: position + start)
            }
        }
        if !wanted.isEmpty { computeLogits(wanted) }
    }

    /// Of some rows of `normed`, into the first rows of `logits`.
    private func computeLogits(_ rows: Range<Int>) {
        let size = configuration.hiddenSize
        unsafe load(
            input, scratch.floats(.normed) + rows.lowerBound * size, tokens: rows.count, columns: size)
        unsafe multiply(weights.outputHead, input, tokens: rows.count, into: scratch.floats(.logits))
    }
}

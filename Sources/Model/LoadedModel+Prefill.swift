import Container
import ExpertPaging

/// A prompt on its way into a state: what `LoadedModel.advance` has done of it and what comes next.
package struct Prefill {
    package let state: DecodingState
    /// Tokens whose chunks are through.
    package var processedCount = 0
    package var isDone: Bool { processedCount == tokens.count }
    /// Whether stepping aside would lose nothing.
    package var isBetweenChunks: Bool { layer == 0 || isDone }

    package let tokens: ArraySlice<Int32>
    fileprivate let form: AttentionForm
    /// The next layer of the chunk at hand.
    package var layer = 0
    /// Of the chunk at hand, among all chunks that the model has begun.
    package var chunkNumber = 0

    package init(state: DecodingState, tokens: ArraySlice<Int32>, form: AttentionForm = .expanded) {
        self.state = state
        self.tokens = tokens
        self.form = form
    }
}

extension LoadedModel {
    /// Appends a prompt's tokens to the state, a chunk at a time, and leaves the last one's logits in `logits`.
    ///
    /// The result doesn't depend on how the tokens fall into chunks and calls.
    ///
    /// - Parameters:
    ///   - form: of latent attention.
    ///   - observer: sees every position's hidden states and logits or the matrices' inputs, as it wants.
    ///   - cancelled: asked in every layer.
    ///   - progress: told how many of `tokens` are done, after each chunk.
    /// - Throws: `ModelError`; the state is then as it was.
    package func prefill(
        _ tokens: ArraySlice<Int32>, state: DecodingState, form: AttentionForm = .expanded,
        observer: (any ForwardObserver)? = nil, cancelled: () -> Bool = { false }, progress: (Int) -> Void = { _ in }
    ) throws(ModelError) {
        var prefill = try beginPrefill(tokens, state: state, form: form)
        while !prefill.isDone {
            let before = prefill.processedCount
            try advance(&prefill, observer: observer, cancelled: cancelled)
            if prefill.processedCount > before { progress(prefill.processedCount) }
        }
    }

    /// Begins a prefill that goes on with `advance`, so that other sequences can step in between. Once another has begun a
    /// chunk, it can't go on inside one.
    ///
    /// - Throws: `ModelError` if the tokens can't be appended.
    package func beginPrefill(
        _ tokens: ArraySlice<Int32>, state: DecodingState, form: AttentionForm = .expanded
    ) throws(ModelError) -> Prefill {
        try prepare(tokens, state)
        return Prefill(state: state, tokens: tokens, form: form)
    }

    /// Computes one layer of a chunk. After the last one of the last chunk the tokens are part of the state, and the
    /// last one's logits stand in `logits`.
    ///
    /// - Parameter stepsAside: whether an expert that is slow to come makes it fail with `.slowExpert`, so that others needn't
    ///   wait. The prefill can go on then, after any other, with the chunk from its first layer.
    /// - Throws: `ModelError`; the state is then as it was, and the prefill over.
    package func advance(
        _ prefill: inout Prefill, stepsAside: Bool = false, observer: (any ForwardObserver)? = nil,
        cancelled: () -> Bool = { false }
    ) throws(ModelError) {
        takeChunk(of: &prefill)
        beginStep(observer)
        defer { endStep() }
        let pass = scratch.chunk
        if prefill.layer == 0 { beginChunk(prefill, pass, stepsAside: stepsAside) }
        var goesOn = false
        defer { if !goesOn { experts.endChunk() } }
        guard !cancelled() else { throw .cancelled }
        computeLayer(prefill.layer, pass, cache: prefill.state.cache, observer: observer) { _ in cancelled() }
        if let failure = pass.failures[0] {
            prefill.layer = 0
            throw failure
        }
        prefill.layer += 1
        goesOn = true
        guard prefill.layer == configuration.layerCount else { return }

        prefill.layer = 0
        prefill.processedCount += pass.count
        goesOn = !prefill.isDone
        let wanted = prefill.isDone ? pass.count - 1..<pass.count : 0..<0
        computeOutputs(pass, wanted: wanted, observer: observer)
        if prefill.isDone { prefill.state.tokenCount += prefill.tokens.count }
    }

    /// Sees that the memory for a chunk is the prefill's, which takes it from any other with its first layer.
    package func takeChunk(of prefill: inout Prefill) {
        precondition(!prefill.isDone, "the prefill is done")
        if prefill.layer == 0 {
            chunkNumber += 1
            prefill.chunkNumber = chunkNumber
        }
        precondition(prefill.chunkNumber == chunkNumber, "another prefill has begun a chunk meanwhile")
    }

    private func beginChunk(_ prefill: Prefill, _ pass: ForwardPass, stepsAside: Bool) {
        pass.begin(sequences: 1, form: prefill.form, stepsAside: stepsAside)
        let start = prefill.tokens.startIndex + prefill.processedCount
        for token in prefill.tokens[start...].prefix(plan.chunk) {
            embed(token, row: pass.count, of: pass)
            pass.append(
                position: prefill.state.tokenCount + prefill.processedCount + pass.count, sequence: 0,
                state: prefill.state, rotary: rotary)
        }
    }
}

import Compute
import Container

/// The two forms of latent attention, which give the same up to rounding.
package enum AttentionForm: Sendable {
    /// The query goes into the latents' space: cheap for one token. Decoding's, so a prefill in this form gives the very
    /// numbers that decoding token by token gives.
    case absorbed
    /// Keys and values come out of the latents: cheap for many tokens.
    case expanded
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
        try check(tokens, state)
        beginStep()
        defer { endStep() }
        var done = 0
        while done < tokens.count {
            let count = min(plan.chunk, tokens.count - done)
            let start = tokens.startIndex + done
            try forward(
                tokens[start..<start + count], position: state.tokenCount + done, state: state, form: form,
                wantsLogits: done + count == tokens.count, observer: observer, cancelled: cancelled)
            done += count
            progress(done)
        }
        state.tokenCount += tokens.count
    }

    /// Appends one token to the state and leaves its logits in `logits`, which it returns.
    ///
    /// - Throws: `ModelError`; the state is then as it was.
    @discardableResult
    package func decode(
        _ token: Int32, state: DecodingState, observer: (any ForwardObserver)? = nil,
        cancelled: () -> Bool = { false }
    ) throws(ModelError) -> UnsafeBufferPointer<Float> {
        let tokens = CollectionOfOne(token)
        try check(tokens, state)
        beginStep()
        defer { endStep() }
        try forward(
            tokens, position: state.tokenCount, state: state, form: .absorbed, wantsLogits: true, observer: observer,
            cancelled: cancelled)
        state.tokenCount += 1
        return unsafe logits
    }

    private func check(_ tokens: some Collection<Int32>, _ state: DecodingState) throws(ModelError) {
        guard tokens.count <= state.capacity - state.tokenCount else {
            throw ModelError(
                .contextExceeded,
                "\(tokens.count) tokens after \(state.tokenCount) pass the context of \(state.capacity) tokens")
        }
        for token in tokens where token < 0 || token >= configuration.vocabularySize {
            throw ModelError(
                .invalidToken, "token \(token) isn't in the vocabulary of \(configuration.vocabularySize)")
        }
    }

    /// One chunk through all layers. Writes the cache from `position` on and leaves `state.tokenCount` alone.
    private func forward(
        _ tokens: some Collection<Int32>, position: Int, state: DecodingState, form: AttentionForm, wantsLogits: Bool,
        observer: (any ForwardObserver)?, cancelled: () -> Bool
    ) throws(ModelError) {
        let count = tokens.count
        let size = configuration.hiddenSize
        let hidden = unsafe scratch.floats(.hidden)
        if let observer, observer.observesInputs { scratch.inputObserver = observer }
        defer { scratch.inputObserver = nil }
        let logitsObserver = observer?.observesLogits == true ? observer : nil
        for (row, token) in tokens.enumerated() {
            unsafe kernels.dequantizeRow(weights.embedding, row: Int(token), into: hidden + row * size)
        }
        fillRotation(position: position, count: count)

        let chunk = Chunk(position: position, count: count)
        for index in 0..<configuration.layerCount {
            guard !cancelled() else { throw .cancelled }
            unsafe logitsObserver?.observe(
                hiddenStates: scratch.buffer(.hidden, count * size).span, index: index, firstPosition: position)
            let layer = weights.layers[index]
            addAttention(layer.attention, layer: index, chunk, state, form)
            try addFeedForward(layer, index: index, count: count, cancelled: cancelled)
        }

        if observer != nil {
            unsafe norm(weights.outputNorm, tokens: 0..<count)
            unsafe showInputs(scratch.floats(.normed), count: count, columns: size, of: .output)
        } else if wantsLogits {
            unsafe norm(weights.outputNorm, tokens: count - 1..<count)
        }
        if let observer = logitsObserver {
            unsafe observer.observe(
                hiddenStates: scratch.buffer(.normed, count * size).span, index: configuration.layerCount,
                firstPosition: position)
            for start in stride(from: 0, to: count, by: ScratchLayout.logitsBlock) {
                let block = min(ScratchLayout.logitsBlock, count - start)
                computeLogits(start..<start + block)
                unsafe observer.observe(
                    logits: scratch.buffer(.logits, block * configuration.vocabularySize).span,
                    firstPosition: position + start)
            }
        }
        if wantsLogits { computeLogits(count - 1..<count) }
    }

    /// Of some rows of `normed`, into the first rows of `logits`.
    private func computeLogits(_ rows: Range<Int>) {
        let size = configuration.hiddenSize
        unsafe load(
            scratch.input, scratch.floats(.normed) + rows.lowerBound * size, tokens: rows.count, columns: size)
        unsafe multiply(weights.outputHead, scratch.input, tokens: rows.count, into: scratch.floats(.logits))
    }
}

/// The positions that a step computes: `position ..< position + count`.
struct Chunk {
    let position: Int
    let count: Int
}

package import Container

/// Sees what a step computes on its way to the logits: for traces, evaluation and calibration. Called on the thread
/// that steps the model, in the order of the positions.
package protocol ForwardObserver: AnyObject {
    /// Whether the hidden states and logits of every position are wanted, which costs the output head for each.
    var observesLogits: Bool { get }
    /// Whether the inputs of matrices are wanted.
    var observesInputs: Bool { get }
    /// Whether the routers' choices are wanted.
    var observesChoices: Bool { get }

    /// The residual stream of some positions, [positions, hidden]: `index` 0 after the embedding, i after layer i − 1,
    /// and after the last layer's final norm.
    func observe(hiddenStates values: Span<Float>, index: Int, firstPosition: Int)
    /// The logits of some positions, [positions, vocabulary].
    func observe(logits values: Span<Float>, firstPosition: Int)
    /// One row of inputs, as it is before the kernels round it to int8. Rows of one place come in the order of their
    /// positions.
    func observe(input row: Span<Float>, of place: MatrixInput)
    /// The experts that a layer's router chose for one token, best first; −1 for one that was left out. A layer's tokens come in the order of their
    /// positions.
    func observe(experts: Span<Int32>, layer: Int)
}

extension ForwardObserver {
    package var observesLogits: Bool { true }
    package var observesInputs: Bool { false }
    package var observesChoices: Bool { false }
    package func observe(hiddenStates values: Span<Float>, index: Int, firstPosition: Int) {}
    package func observe(logits values: Span<Float>, firstPosition: Int) {}
    package func observe(input row: Span<Float>, of place: MatrixInput) {}
    package func observe(experts: Span<Int32>, layer: Int) {}
}

/// Inputs that one or more matrices share.
package enum MatrixInput: Hashable, Sendable {
    /// [hidden]: the normed stream that queries and latents are projected from.
    case attention(layer: Int)
    /// [queryLatentRank]: the normed query latent.
    case queryLatent(layer: Int)
    /// [keyValueLatentRank]: the normed latent that keys and values come from, one a position.
    case keyValueLatent(layer: Int)
    /// [heads · value]: what the output projection gets.
    case attended(layer: Int)
    /// [hidden]: the normed stream before the router, and before dense or shared experts.
    case feedForward(layer: Int)
    /// [denseIntermediate]: before `down`.
    case denseIntermediate(layer: Int)
    /// [sharedIntermediate]: before `down`.
    case sharedIntermediate(layer: Int)
    /// [hidden]: the rows of `feedForward` that chose the expert.
    case expert(ExpertKey)
    /// [intermediate]: before the expert's `down`.
    case expertIntermediate(ExpertKey)
    /// [hidden]: what the output head gets.
    case output
}

extension LoadedModel {
    /// Shows rows of inputs to the observer, if there is one that wants them.
    func showInputs(
        _ values: UnsafePointer<Float>, count: Int, columns: Int, stride: Int? = nil,
        of place: @autoclosure () -> MatrixInput
    ) {
        guard let observer = scratch.inputObserver else { return }
        let place = place()
        for row in 0..<count {
            let start = unsafe values + row * (stride ?? columns)
            observer.observe(input: unsafe Span(_unsafeStart: start, count: columns), of: place)
        }
    }

    /// Shows what the router chose to the observer, if there is one that wants it.
    func showChoices(layer: Int, count: Int, perToken: Int) {
        guard let observer = scratch.choiceObserver else { return }
        for row in 0..<count {
            let start = unsafe scratch.integers(.chosenExperts) + row * perToken
            observer.observe(experts: unsafe Span(_unsafeStart: start, count: perToken), layer: layer)
        }
    }
}

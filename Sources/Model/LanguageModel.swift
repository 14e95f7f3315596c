package import Container
package import ExpertPaging

/// What makes an answer token by token, whichever kind of model it is: the engine drives no more than this.
///
/// One step runs at a time, and one prefill is under way at a time; others may rest that stepped aside.
package protocol LanguageModel: AnyObject, Sendable {
    var configuration: ModelConfiguration { get }
    var plan: MemoryPlan { get }
    var experts: ExpertStore { get }

    /// Tokens that prompt and answer may have together.
    var contextLength: Int { get }
    /// Whether what a prompt's beginning comes to depends on nothing behind it, so that another that begins alike may have it.
    var sharesPrefixes: Bool { get }

    /// The KV cache for all sequences, as the plan has it.
    func makeCache() throws(ModelError) -> KeyValueCache

    /// Begins to take a prompt in; an earlier one can't go on, unless it has stepped aside.
    ///
    /// - Throws: `ModelError` if the tokens can't be appended.
    func beginPrefill(_ tokens: ArraySlice<Int32>, state: DecodingState) throws(ModelError) -> Prefill

    /// Computes a layer. When the prefill is done, `logits` say what comes after the prompt.
    ///
    /// - Parameter stepsAside: whether it may fail with `.slowExpert`, after which it can be tried again, whatever was read
    ///   meanwhile. Any other failure ends the prefill.
    /// - Throws: `ModelError`; the state is then as it was.
    func advance(_ prefill: inout Prefill, stepsAside: Bool, cancelled: () -> Bool) throws(ModelError)

    /// Appends one token to each of several sequences; who fails or is cancelled drops out.
    ///
    /// - Parameters:
    ///   - stepsAside: whether those who need an expert that is slow to come fail with `.slowExpert`.
    ///   - cancelled: asked for every sequence in every layer.
    func step(_ steps: inout [SequenceStep], stepsAside: Bool, cancelled: (Int) -> Bool)

    /// Of the last prefill's end: [vocabulary], until the next step.
    var logits: UnsafeBufferPointer<Float> { get }

    /// Logits of a sequence's token: [vocabulary], until the next step.
    func logits(of step: SequenceStep) -> UnsafeBufferPointer<Float>
}

extension LoadedModel: LanguageModel {
    package var contextLength: Int { plan.contextLength }
    package var sharesPrefixes: Bool { true }

    package func beginPrefill(_ tokens: ArraySlice<Int32>, state: DecodingState) throws(ModelError) -> Prefill {
        try beginPrefill(tokens, state: state, form: .expanded)
    }

    package func advance(_ prefill: inout Prefill, stepsAside: Bool, cancelled: () -> Bool) throws(ModelError) {
        try advance(&prefill, stepsAside: stepsAside, observer: nil, cancelled: cancelled)
    }
}

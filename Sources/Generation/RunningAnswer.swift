import Container
import Model

/// A request that the engine works on. Used by the engine's thread alone.
final class RunningAnswer {
    let job: Job
    /// Requests in the order in which they were begun.
    let number: Int
    /// What the model remembers of it; empty while it is put aside.
    private(set) var state: DecodingState
    /// Tokens chosen so far. The model has seen the first `state.tokenCount − prompt` of them.
    private(set) var chosen: [Int32] = []

    /// Experts that it has stepped aside for since its last token, or its prompt's last chunk. They are held for it: without
    /// them it would have to step aside for the first again when it comes back from the second.
    var awaited: [ExpertKey] = []

    private var answer: Answer
    /// Of states that were put aside.
    private var earlierLossyUse = LossyRouting.Use()
    private var timing = Completion.Timing()
    private var decodeStart: ContinuousClock.Instant?
    private let begin = ContinuousClock.now

    init(job: Job, number: Int, state: DecodingState, answer: Answer) {
        self.job = job
        self.number = number
        self.state = state
        self.answer = answer
        timing.queued = begin - job.submitted
    }

    var prompt: [Int32] { job.request.promptTokens }
    var duration: Duration { ContinuousClock.now - begin }

    /// The token that the model is to be stepped with.
    var nextToken: Int32 { chosen[state.tokenCount - prompt.count] }

    /// Whether the model has seen every token, so that its logits say what comes next.
    var isCaughtUp: Bool { state.tokenCount == prompt.count + chosen.count }

    /// Begins, or begins again with the tokens that are chosen already, in an empty state.
    ///
    /// - Parameter cachedTokens: of the prompt that needn't be computed.
    func start(in state: DecodingState, cachedTokens: Int) {
        if state !== self.state { earlierLossyUse = earlierLossyUse + self.state.lossyUse }
        self.state = state
        state.lossy = job.request.lossy
        if chosen.isEmpty { answer.usage.cachedTokens = cachedTokens }
    }

    /// Gives its memory back. What it has said already can be computed again, to the same bits.
    func putAside() { state.reset() }

    /// Chooses the next token by the model's logits and tells the reader. Returns the end, if it is one.
    func advance(by logits: Span<Float>) throws(GenerationError) -> Completion? {
        let now = ContinuousClock.now
        if decodeStart == nil { timing.prefill = now - begin }
        let start = decodeStart ?? now
        decodeStart = start
        var delta = TextDelta()
        let step = try answer.advance(by: logits, into: &delta)
        job.mailbox.post(delta)
        timing.decode = ContinuousClock.now - start
        switch step {
        case .more(let token):
            chosen.append(token)
            return nil
        case .finished(let reason):
            answer.usage.droppedTokens = state.expertUses?.droppedCount
            return Completion(
                reason: reason, usage: answer.usage, seed: answer.seed, timing: timing,
                lossyUse: earlierLossyUse + state.lossyUse)
        }
    }
}

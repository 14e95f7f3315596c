package import Model

/// One answer that somebody wants.
package struct GenerationRequest: Sendable {
    /// At least one id, all in the vocabulary; no more than the context holds.
    package var promptTokens: [Int32]
    package var sampling: SamplingParameters
    /// Tokens of the answer at most, an end-of-sequence token included; nil for what the context holds.
    package var maximumTokens: Int?
    /// Texts that end the answer and aren't part of it.
    package var stop: [String]
    /// How many of the likeliest tokens to report with every token, 0…20; nil for no log-probabilities at all.
    package var alternativeCount: Int?
    /// The id of `</think>`, if the prompt ends where the model begins to think, or with `reasoningBeginToken`: tokens
    /// count as reasoning up to and with it.
    package var reasoningEndToken: Int32?
    /// The id of `<think>`, if the model may open its reasoning itself: an answer that begins with it does.
    package var reasoningBeginToken: Int32?
    /// Special tokens whose text is shown; that of the others isn't.
    package var shownTokens: Set<Int32> = []
    /// Whether the answer goes on from the prompt's text, so that a space at its beginning is kept that a tokenizer
    /// takes from the beginning of a text.
    package var continuesText = false
    /// What the answer must be; nil for anything.
    package var constraint: Constraint?
    /// How the routers may help to read less, at the price of another answer.
    package var lossy: LossyRouting

    package init(
        promptTokens: [Int32], sampling: SamplingParameters = SamplingParameters(), maximumTokens: Int? = nil,
        stop: [String] = [], alternativeCount: Int? = nil, reasoningEndToken: Int32? = nil,
        lossy: LossyRouting = .off
    ) {
        self.promptTokens = promptTokens
        self.sampling = sampling
        self.maximumTokens = maximumTokens
        self.stop = stop
        self.alternativeCount = alternativeCount
        self.reasoningEndToken = reasoningEndToken
        self.lossy = lossy
    }

    func check(vocabularySize: Int, contextLength: Int) throws(GenerationError) {
        if let problem = sampling.problem { throw GenerationError(.invalidRequest, problem) }
        guard !promptTokens.isEmpty else { throw GenerationError(.invalidRequest, "the prompt is empty") }
        guard promptTokens.count <= contextLength else {
            throw GenerationError(
                .contextLengthExceeded,
                "the prompt has \(promptTokens.count) tokens and the context holds \(contextLength)")
        }
        if let stranger = promptTokens.first(where: { $0 < 0 || $0 >= vocabularySize }) {
            throw GenerationError(.invalidRequest, "token \(stranger) isn't in the vocabulary of \(vocabularySize)")
        }
        if let maximumTokens, maximumTokens < 1 {
            throw GenerationError(.invalidRequest, "max_tokens must be 1 or more, not \(maximumTokens)")
        }
        if let alternativeCount, !(0...TokenLogProbability.mostAlternatives ~= alternativeCount) {
            throw GenerationError(
                .invalidRequest,
                "top_logprobs must be from 0 to \(TokenLogProbability.mostAlternatives), not \(alternativeCount)")
        }
    }
}

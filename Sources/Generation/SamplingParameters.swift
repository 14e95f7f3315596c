/// How the next token is chosen from the logits.
///
/// The steps and their order are llama.cpp's: penalties, top-k, top-p, min-p, temperature. Each works on what the
/// one before left.
package struct SamplingParameters: Sendable, Equatable {
    /// Divides the logits. 0 chooses the largest, the lower id among equals.
    package var temperature: Double
    /// Keeps the k largest logits; 0 keeps all.
    package var topK: Int
    /// Keeps the fewest tokens, from the likeliest down, whose probabilities sum to at least this; 1 keeps all.
    package var topP: Double
    /// Keeps tokens at least this many times as likely as the likeliest; 0 keeps all.
    package var minP: Double
    /// Divides a positive logit, and multiplies a negative one, of every token in the prompt or the answer so far
    /// (arXiv 1909.05858, as in HF Transformers); 1 changes nothing.
    package var repetitionPenalty: Double
    /// Subtracted from the logit of every token in the answer so far.
    package var presencePenalty: Double
    /// Subtracted once for every time a token is in the answer so far.
    package var frequencyPenalty: Double
    /// The same seed gives the same text for the same request. nil draws one, which the answer reports.
    package var seed: UInt64?

    package init(
        temperature: Double = 1, topK: Int = 0, topP: Double = 1, minP: Double = 0, repetitionPenalty: Double = 1,
        presencePenalty: Double = 0, frequencyPenalty: Double = 0, seed: UInt64? = nil
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.presencePenalty = presencePenalty
        self.frequencyPenalty = frequencyPenalty
        self.seed = seed
    }

    /// The name of the first value that is out of range.
    var problem: String? {
        let checks: [(Bool, String)] = [
            (temperature.isFinite && temperature >= 0, "temperature must be 0 or more"),
            (topK >= 0, "top_k must be 0 or more"),
            (topP > 0 && topP <= 1, "top_p must be above 0 and at most 1"),
            (minP >= 0 && minP <= 1, "min_p must be from 0 to 1"),
            (repetitionPenalty.isFinite && repetitionPenalty > 0, "repetition_penalty must be above 0"),
            (presencePenalty.isFinite, "presence_penalty must be a number"),
            (frequencyPenalty.isFinite, "frequency_penalty must be a number"),
        ]
        return checks.first { !$0.0 }?.1
    }
}

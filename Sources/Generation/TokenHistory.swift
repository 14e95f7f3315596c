/// The tokens so far, as the penalties need them.
struct TokenHistory: Sendable {
    /// [vocabulary]: how often a token is in the answer.
    private var answerCounts: [Int32]
    /// [vocabulary]
    private var isInPrompt: [Bool]
    /// Every token of the prompt and the answer once.
    private var distinct: [Int32] = []

    init(vocabularySize: Int, prompt: some Sequence<Int32>) {
        answerCounts = Array(repeating: 0, count: vocabularySize)
        isInPrompt = Array(repeating: false, count: vocabularySize)
        distinct.reserveCapacity(vocabularySize)
        for token in prompt where !isInPrompt[Int(token)] {
            isInPrompt[Int(token)] = true
            distinct.append(token)
        }
    }

    mutating func append(_ token: Int32) {
        if answerCounts[Int(token)] == 0 && !isInPrompt[Int(token)] { distinct.append(token) }
        answerCounts[Int(token)] += 1
    }

    /// The repetition penalty scales, then presence and frequency subtract.
    func penalize(_ logits: inout [Float], by parameters: SamplingParameters) {
        let repetition = Float(parameters.repetitionPenalty)
        let presence = Float(parameters.presencePenalty)
        let frequency = Float(parameters.frequencyPenalty)
        guard repetition != 1 || presence != 0 || frequency != 0 else { return }
        for token in distinct {
            let id = Int(token)
            logits[id] = logits[id] > 0 ? logits[id] / repetition : logits[id] * repetition
            if answerCounts[id] > 0 { logits[id] -= Float(answerCounts[id]) * frequency + presence }
        }
    }
}

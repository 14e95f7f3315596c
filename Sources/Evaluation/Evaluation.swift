import Container
package import Model

/// How well a model predicts a text, and how far it is from another one.
///
/// Scored are the tokens of the second half of every chunk, each from all tokens before it in the chunk; the first half
/// is only read. Published perplexities at context 512 are made this way.
package struct Evaluation: Sendable, Equatable, Codable {
    package var scoredTokenCount: Int
    package var perplexity: Estimate
    /// nil without a reference.
    package var comparison: Comparison?

    package struct Comparison: Sendable, Equatable, Codable {
        package var referencePerplexity: Estimate
        /// The model's perplexity over the reference's; its error is of the paired samples, so it is much smaller than
        /// that of the two.
        package var perplexityRatio: Estimate
        /// Kullback-Leibler divergence from the reference, in nats a token.
        package var meanDivergence: Estimate
        package var medianDivergence: Double
        /// Of the tokens 99 % have less.
        package var divergence99: Double
        package var greatestDivergence: Double
        /// Share of tokens for which both have the same first choice.
        package var topAgreement: Estimate
    }

    /// In which arithmetic the model reads.
    package enum Reading: String, Sendable, Codable, CaseIterable {
        /// Many tokens at once, to the same bits as `steps`.
        case batches
        /// One token a step, as text is generated.
        case steps
        /// As prompts are read, with the expanded form of latent attention. It differs from the others in the last bit of
        /// a float, which int8 inputs turn into a whole code now and then.
        case prefill
    }
}

extension Evaluation {
    /// Tokens that are read in all: what `TextProgress` counts.
    package static func tokenCount(of text: EvaluationText, hasReference: Bool) -> Int {
        text.tokenCount * (hasReference ? 2 : 1)
    }

    /// - Parameters:
    ///   - reference: reads in batches, always, so a model can be its own reference for the other readings.
    /// - Throws: `EvaluationError`, or `ModelError` with the code `cancelled` when `cancelled` says so.
    package init(
        _ model: LoadedModel, text: EvaluationText, reference: LoadedModel? = nil, reading: Reading = .batches,
        progress: TextProgress, cancelled: () -> Bool = { false }
    ) throws {
        let vocabulary = model.configuration.vocabularySize
        if let reference, reference.configuration.vocabularySize != vocabulary {
            throw EvaluationError(
                .differentModels,
                "the reference has \(reference.configuration.vocabularySize) tokens and the model \(vocabulary), so "
                    + "they can't be compared")
        }
        let state = try model.makeState()
        let referenceState = try reference?.makeState()
        var scores = Scores()
        for chunk in text.chunks {
            var expected: LogitStore?
            if let reference, let referenceState {
                let store = LogitStore(vocabulary: vocabulary, tokenCount: chunk.count)
                try Self.read(chunk, reference, referenceState, .batches, store, cancelled)
                progress.advance(chunk.count)
                expected = store
            }
            let scorer = Scorer(chunk: chunk, reference: expected, vocabulary: vocabulary, scores: scores)
            try Self.read(chunk, model, state, reading, scorer, cancelled)
            progress.advance(chunk.count)
            scores = scorer.scores
            guard scores.areFinite else {
                throw EvaluationError(.notFinite, "the logits aren't all finite numbers, so the model is broken")
            }
        }
        self = scores.evaluation(hasReference: reference != nil)
        guard perplexity.value.isFinite else {
            throw EvaluationError(.notFinite, "the perplexity passes every number, so the model is broken")
        }
    }

    /// The first position of a chunk whose prediction counts.
    static func firstScored(_ tokenCount: Int) -> Int { tokenCount / 2 }

    private static func read(
        _ chunk: ArraySlice<Int32>, _ model: LoadedModel, _ state: DecodingState, _ reading: Reading,
        _ observer: any ForwardObserver, _ cancelled: () -> Bool
    ) throws {
        state.reset()
        let middle = chunk.startIndex + firstScored(chunk.count)
        switch reading {
        case .steps:
            for index in chunk.indices {
                try unsafe model.decode(
                    chunk[index], state: state, observer: index < middle ? nil : observer, cancelled: cancelled)
            }
        case .batches, .prefill:
            let form: AttentionForm = reading == .prefill ? .expanded : .absorbed
            try model.prefill(chunk[..<middle], state: state, form: form, cancelled: cancelled)
            try model.prefill(chunk[middle...], state: state, form: form, observer: observer, cancelled: cancelled)
        }
    }
}

/// The samples, one for each scored token.
struct Scores {
    /// −ln of the probability that the model gave to the token that came.
    var surprises: [Double] = []
    var referenceSurprises: [Double] = []
    var divergences: [Double] = []
    var agreements: [Double] = []

    var areFinite: Bool {
        surprises.allSatisfy(\.isFinite) && referenceSurprises.allSatisfy(\.isFinite)
            && divergences.allSatisfy(\.isFinite)
    }

    func evaluation(hasReference: Bool) -> Evaluation {
        Evaluation(
            scoredTokenCount: surprises.count, perplexity: Estimate(meanOf: surprises).exponential,
            comparison: hasReference ? comparison : nil)
    }

    private var comparison: Evaluation.Comparison {
        let sorted = divergences.sorted()
        return Evaluation.Comparison(
            referencePerplexity: Estimate(meanOf: referenceSurprises).exponential,
            perplexityRatio: Estimate(meanOf: zip(surprises, referenceSurprises).map { $0 - $1 }).exponential,
            meanDivergence: Estimate(meanOf: divergences), medianDivergence: quantile(0.5, of: sorted),
            divergence99: quantile(0.99, of: sorted), greatestDivergence: sorted.last ?? 0,
            topAgreement: Estimate(meanOf: agreements))
    }
}

/// Keeps a reference's logits of one chunk.
private final class LogitStore: ForwardObserver {
    private let vocabulary: Int
    private let first: Int
    /// [scored positions, vocabulary]
    private(set) var logits: [Float]

    init(vocabulary: Int, tokenCount: Int) {
        self.vocabulary = vocabulary
        first = Evaluation.firstScored(tokenCount)
        logits = Array(repeating: 0, count: (tokenCount - first) * vocabulary)
    }

    func observe(logits values: Span<Float>, firstPosition: Int) {
        let start = (firstPosition - first) * vocabulary
        for index in values.indices { logits[start + index] = values[index] }
    }

    /// Where one position's logits are in `logits`.
    func place(of position: Int) -> Range<Int> {
        (position - first) * vocabulary..<(position - first + 1) * vocabulary
    }
}

/// Scores a model's logits of one chunk as they come.
private final class Scorer: ForwardObserver {
    private(set) var scores: Scores
    private let chunk: ArraySlice<Int32>
    private let reference: LogitStore?
    private let vocabulary: Int

    init(chunk: ArraySlice<Int32>, reference: LogitStore?, vocabulary: Int, scores: Scores) {
        self.chunk = chunk
        self.reference = reference
        self.vocabulary = vocabulary
        self.scores = scores
    }

    func observe(logits values: Span<Float>, firstPosition: Int) {
        for row in 0..<values.count / vocabulary {
            // The last token of a chunk has no successor.
            guard firstPosition + row + 1 < chunk.count else { return }
            score(
                values.extracting(row * vocabulary..<(row + 1) * vocabulary), position: firstPosition + row)
        }
    }

    private func score(_ logits: Span<Float>, position: Int) {
        let next = Int(chunk[chunk.startIndex + position + 1])
        let normaliser = LogProbabilities.normaliser(logits)
        scores.surprises.append(normaliser - Double(logits[next]))
        guard let reference else { return }
        let stored = reference.logits
        let expected = stored.span.extracting(reference.place(of: position))
        let expectedNormaliser = LogProbabilities.normaliser(expected)
        scores.referenceSurprises.append(expectedNormaliser - Double(expected[next]))
        scores.divergences.append(
            LogProbabilities.divergence(reference: expected, expectedNormaliser, logits, normaliser))
        let agree = LogProbabilities.best(expected) == LogProbabilities.best(logits)
        scores.agreements.append(agree ? 1 : 0)
    }
}

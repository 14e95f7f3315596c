import Container
import ExpertPaging
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
    /// When the text was read in steps by a model with routed experts.
    package var paging: Paging?

    /// What stepping through the text asked of the arena, the first halves of the chunks included.
    package struct Paging: Sendable, Equatable, Codable {
        /// Experts that fit in memory, of how many.
        package var slotCount: Int
        package var expertCount: Int
        /// Experts that the routers would have chosen.
        package var choiceCount: Int
        /// Those that had to be read, whose places others in memory took, and that were left out.
        package var missCount: Int
        package var substitutedCount: Int
        package var droppedCount: Int
    }

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
        /// nil without routed experts.
        package var routing: Routing?
    }

    /// A router's choice isn't continuous: the least rounding can turn one, and the divergence then jumps.
    package struct Routing: Sendable, Equatable, Codable {
        /// Share of tokens for which both choose the same experts in every layer.
        package var agreement: Estimate
        /// The mean divergence of those tokens.
        package var divergenceOfSame: Estimate
        /// The mean divergence of the others.
        package var divergenceOfOthers: Estimate
    }

    /// In which arithmetic the model reads.
    package enum Reading: String, Sendable, Codable, CaseIterable {
        /// Many tokens at once, to the same bits as `steps`.
        case batches
        /// One token a step, as text is generated.
        case steps
        /// As prompts are read, with the expanded form of latent attention. It rounds elsewhere than the others, which int8
        /// inputs turn into a whole code now and then.
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
    ///   - lossy: how the model's routers may help to read less; only with `steps`, and from a chunk's first token on.
    /// - Throws: `EvaluationError`, or `ModelError` with the code `cancelled` when `cancelled` says so.
    package init(
        _ model: LoadedModel, text: EvaluationText, reference: LoadedModel? = nil, reading: Reading = .batches,
        lossy: LossyRouting = .off, progress: TextProgress, cancelled: () -> Bool = { false }
    ) throws {
        precondition(lossy.isOff || reading == .steps, "routers help only with steps")
        let vocabulary = model.configuration.vocabularySize
        if let reference, reference.configuration.vocabularySize != vocabulary {
            throw EvaluationError(
                .differentModels,
                "the reference has \(reference.configuration.vocabularySize) tokens and the model \(vocabulary), so "
                    + "they can't be compared")
        }
        let state = try model.makeState()
        state.lossy = lossy
        let before = model.experts.counters
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
        if reading == .steps, let experts = model.configuration.experts {
            let after = model.experts.counters
            let sparseCount = model.configuration.sparseLayers.count { $0 }
            paging = Paging(
                slotCount: model.experts.slotCount, expertCount: model.experts.shape.expertCount,
                choiceCount: text.tokenCount * sparseCount * experts.expertsPerToken,
                missCount: Int(clamping: after.misses - before.misses),
                substitutedCount: Int(clamping: after.substitutions - before.substitutions),
                droppedCount: Int(clamping: after.drops - before.drops))
        }
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
    /// Whether all routers chose the same; empty without routers.
    var sameChoices: [Bool] = []

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
            topAgreement: Estimate(meanOf: agreements), routing: sameChoices.isEmpty ? nil : routing)
    }

    private var routing: Evaluation.Routing {
        func divergence(_ same: Bool) -> Estimate {
            Estimate(meanOf: zip(divergences, sameChoices).filter { $0.1 == same }.map(\.0))
        }
        return Evaluation.Routing(
            agreement: Estimate(meanOf: sameChoices.map { $0 ? 1 : 0 }), divergenceOfSame: divergence(true),
            divergenceOfOthers: divergence(false))
    }
}

/// Every layer's choices for the scored positions.
private struct Choices {
    /// By layer: [positions][expertsPerToken], each position's ascending.
    private var experts: [Int: [[Int32]]] = [:]

    mutating func append(_ chosen: Span<Int32>, layer: Int) {
        experts[layer, default: []].append(chosen.indices.map { chosen[$0] }.sorted())
    }

    var isEmpty: Bool { experts.isEmpty }

    func agree(with other: Choices, at index: Int) -> Bool {
        experts.allSatisfy { $0.value[index] == other.experts[$0.key]?[index] }
    }
}

/// Keeps a reference's logits and choices of one chunk.
private final class LogitStore: ForwardObserver {
    let observesChoices = true
    private(set) var choices = Choices()
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

    func observe(experts: Span<Int32>, layer: Int) { choices.append(experts, layer: layer) }

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
    let observesChoices: Bool
    private var choices = Choices()

    init(chunk: ArraySlice<Int32>, reference: LogitStore?, vocabulary: Int, scores: Scores) {
        self.chunk = chunk
        self.reference = reference
        self.vocabulary = vocabulary
        self.scores = scores
        observesChoices = reference != nil
    }

    func observe(experts: Span<Int32>, layer: Int) { choices.append(experts, layer: layer) }

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
        guard !choices.isEmpty else { return }
        let index = position - Evaluation.firstScored(chunk.count)
        scores.sameChoices.append(choices.agree(with: reference.choices, at: index))
    }
}

import Container
import Model
import TestSupport
import Testing

/// Routers that look at what is in memory, against an oracle that sorts.
@Suite struct LossyRouterTests {
    typealias Configuration = ModelConfiguration.Router

    /// A way of routing that some family has.
    enum Kind: String, CaseIterable {
        case softmax, normalizedSoftmax, sigmoid, biased, grouped, groupedByMaximum, biasedSoftmax, softmaxOfChosen

        var configuration: Configuration {
            let groups = self == .grouped || self == .groupedByMaximum ? 4 : 1
            return Configuration(
                scoring: scoring,
                hasSelectionBias: hasBias, groupCount: groups, groupsPerToken: groups / 2 + groups % 2,
                groupScore: self == .groupedByMaximum ? .maximum : .topTwoSum, normalizesWeights: normalizes,
                weightScale: self == .grouped ? 2.5 : 1)
        }

        private var scoring: Configuration.Scoring {
            switch self {
            case .sigmoid, .biased, .grouped: .sigmoid
            case .softmaxOfChosen: .softmaxOfChosen
            case .softmax, .normalizedSoftmax, .groupedByMaximum, .biasedSoftmax: .softmax
            }
        }

        var hasBias: Bool { self == .biased || self == .grouped || self == .biasedSoftmax }
        /// So does the softmax over the chosen.
        var normalizes: Bool {
            [.softmaxOfChosen, .normalizedSoftmax, .biased, .grouped].contains(self)
        }
    }

    /// One token's routing, whatever the help.
    private struct Case {
        let kind: Kind
        let logits: [Float]
        let bias: [Float]
        let residents: [Int32]
        let taken: Int

        init(_ kind: Kind, seed: UInt64, taken: Int = 6, residents: Int? = nil) {
            var random = SplitMix(seed: seed)
            func unit() -> Float { Float(random.next() >> 40) / Float(1 << 24) }
            self.kind = kind
            self.taken = taken
            // Coarse, so that there are ties.
            logits = (0..<32).map { _ in (unit() * 40).rounded() / 8 - 2 }
            bias = kind.hasBias ? (0..<32).map { _ in (unit() * 8).rounded() / 40 } : []
            self.residents = (0..<32).map { _ in residents.map(Int32.init) ?? Int32(random.next() % 2) }
        }

        /// nil: by the router alone.
        func choose(_ lossy: LossyRouting?, _ other: Configuration? = nil, taken count: Int? = nil) -> Choice {
            let configuration = ModelConfiguration.Experts(
                routedExpertCount: logits.count, expertsPerToken: count ?? taken, intermediateSize: 32,
                sharedIntermediateSize: 0, router: other ?? kind.configuration)
            var (scores, ranking, preferences) = (logits, logits, logits)
            var experts = [Int32](repeating: -7, count: configuration.expertsPerToken)
            var weights = [Float](repeating: .nan, count: configuration.expertsPerToken)
            var use = LossyRouting.Use()
            var scoreSpan = scores.mutableSpan
            var rankingSpan = ranking.mutableSpan
            var expertSpan = experts.mutableSpan
            var weightSpan = weights.mutableSpan
            var preferenceSpan = preferences.mutableSpan
            Router.with(configuration, bias: bias) { router in
                if let lossy {
                    use = router.choose(
                        scores: &scoreSpan, ranking: &rankingSpan, preferences: &preferenceSpan, experts: &expertSpan,
                        weights: &weightSpan, by: lossy, residents: residents.span)
                } else {
                    router.choose(scores: &scoreSpan, ranking: &rankingSpan, experts: &expertSpan, weights: &weightSpan)
                }
            }
            return Choice(experts: experts, weights: weights, use: use)
        }

        /// [experts]: the router's own unbiased scores.
        var scores: [Float] {
            let plain = Configuration(
                scoring: kind == .softmaxOfChosen ? .softmax : kind.configuration.scoring, hasSelectionBias: false,
                groupCount: 1, groupsPerToken: 1,
                groupScore: .maximum, normalizesWeights: false, weightScale: 1)
            let all = choose(nil, plain, taken: logits.count)
            var scores = [Float](repeating: 0, count: logits.count)
            for (expert, weight) in zip(all.experts, all.weights) { scores[Int(expert)] = weight }
            return scores
        }

        /// Those that the chosen groups hold: all that a router takes when it takes as many as they are.
        var candidates: [Int] {
            let configuration = kind.configuration
            let count = logits.count / configuration.groupCount * configuration.groupsPerToken
            return choose(nil, taken: count).experts.map { Int($0) }
        }
    }

    struct Choice: Equatable {
        var experts: [Int32]
        var weights: [Float]
        var use: LossyRouting.Use

        static func == (first: Choice, second: Choice) -> Bool {
            first.experts == second.experts && areIdentical(first.weights, second.weights)
        }
    }

    /// What should come out, by sorting in plain arithmetic.
    private func expected(_ test: Case, _ lossy: LossyRouting) -> (experts: [Int], substituted: Int, dropped: Set<Int>)
    {
        let scores = test.scores
        let own = test.choose(nil).experts.map { Int($0) }
        let ranksByLogits = test.kind.configuration.scoring != .sigmoid && test.bias.isEmpty
        let basis = ranksByLogits ? test.logits : scores
        let bonus = lossy.preferResident * ((basis.max() ?? 0) - (basis.min() ?? 0))
        func value(_ expert: Int) -> Float { basis[expert] + (test.bias.isEmpty ? 0 : test.bias[expert]) }
        func raised(_ expert: Int) -> Float { value(expert) + (test.residents[expert] == 0 ? 0 : bonus) }
        func order(_ values: @escaping (Int) -> Float) -> (Int, Int) -> Bool {
            { values($0) > values($1) || (values($0) == values($1) && $0 < $1) }
        }
        let rest = test.candidates.filter { !own.prefix(2).contains($0) }.sorted(by: order(raised))
        let chosen = own.prefix(2) + rest.prefix(test.taken - 2).sorted(by: order(value))
        let total = chosen.reduce(0) { $0 + scores[$1] }
        let dropped = chosen.dropFirst(2).filter {
            test.residents[$0] == 0 && scores[$0] * Float(test.taken) < lossy.dropCold * total * (1 - 1e-6)
        }
        return (Array(chosen), chosen.count { !own.contains($0) }, Set(dropped))
    }

    @Test(arguments: Kind.allCases)
    func withoutStrengthItIsTheRouterBitForBit(_ kind: Kind) {
        for seed in 0..<200 {
            let test = Case(kind, seed: UInt64(seed))
            let choice = test.choose(.off)
            #expect(choice == test.choose(nil))
            #expect(choice.use.substitutedCount == 0 && choice.use.droppedCount == 0)
        }
    }

    /// A bonus that all have, or none has, changes no order, ties and all.
    @Test(arguments: Kind.allCases, [0, 1])
    func whereAllAreAlikeNothingChanges(_ kind: Kind, residents: Int) {
        let lossy = LossyRouting(preferResident: 1, dropCold: residents == 1 ? 1 : 0)
        for seed in 0..<200 {
            let test = Case(kind, seed: UInt64(seed), residents: residents)
            let choice = test.choose(lossy)
            #expect(choice == test.choose(nil))
            #expect(choice.use.substitutedCount == 0 && choice.use.droppedCount == 0)
        }
    }

    @Test(arguments: Kind.allCases, [Float(0.02), 0.15, 0.5, 1])
    func choosesAsTheOracleDoes(_ kind: Kind, strength: Float) {
        var substituted = 0
        for seed in 0..<300 {
            let test = Case(kind, seed: UInt64(seed))
            let lossy = LossyRouting(preferResident: strength)
            let choice = test.choose(lossy)
            let expected = expected(test, lossy)
            #expect(choice.experts.map { Int($0) } == expected.experts, "seed \(seed)")
            #expect(choice.use.substitutedCount == expected.substituted)
            #expect(choice.use.choiceCount == test.taken && choice.use.droppedCount == 0)
            #expect(Array(choice.experts.prefix(2)) == Array(test.choose(nil).experts.prefix(2)))
            #expect(Set(choice.experts.map { Int($0) }).isSubset(of: Set(test.candidates)))
            substituted += choice.use.substitutedCount
        }
        #expect(substituted > 0)
    }

    @Test(arguments: Kind.allCases, [(Float(0), Float(1)), (0, 0.7), (0.2, 0.9), (1, 1)])
    func weightsAreTheRoutersOwn(_ kind: Kind, strengths: (Float, Float)) {
        var dropped = 0
        for seed in 0..<300 {
            let test = Case(kind, seed: UInt64(seed))
            let lossy = LossyRouting(preferResident: strengths.0, dropCold: strengths.1)
            let choice = test.choose(lossy)
            let expected = expected(test, lossy)
            let scores = test.scores
            let configuration = kind.configuration
            let kept = expected.experts.filter { !expected.dropped.contains($0) }
            let sum = kept.reduce(Float(0)) { $0 + scores[$1] }
            for (rank, expert) in expected.experts.enumerated() {
                if expected.dropped.contains(expert) {
                    #expect(choice.experts[rank] == -1 && choice.weights[rank] == 0)
                } else {
                    let weight =
                        (configuration.normalizesWeights ? scores[expert] / sum : scores[expert])
                        * configuration.weightScale
                    #expect(Int(choice.experts[rank]) == expert)
                    #expect(abs(choice.weights[rank] - weight) <= 1e-5 * weight)
                }
            }
            #expect(choice.use.droppedCount == expected.dropped.count)
            #expect(choice.use.substitutedCount == expected.substituted)
            #expect(choice.experts.prefix(2).allSatisfy { $0 >= 0 })
            dropped += expected.dropped.count
        }
        // Where residents take every place, or no weight is low enough, there is nothing to leave out.
        if strengths == (0, 1) { #expect(dropped > 0) }
    }

    @Test(arguments: [1, 2])
    func tokensOfTwoExpertsStayAsTheyAre(taken: Int) {
        for kind in Kind.allCases {
            for seed in 0..<50 {
                let test = Case(kind, seed: UInt64(seed), taken: taken, residents: nil)
                #expect(test.choose(LossyRouting(preferResident: 1, dropCold: 1)) == test.choose(nil))
            }
        }
    }

    @Test func damagedLogitsStillGiveDistinctExperts() {
        for kind in Kind.allCases {
            let configuration = ModelConfiguration.Experts(
                routedExpertCount: 8, expertsPerToken: 4, intermediateSize: 32, sharedIntermediateSize: 0,
                router: kind.configuration)
            let bias = kind.hasBias ? [Float](repeating: .nan, count: 8) : []
            for value in [Float.nan, .infinity, -.infinity, .greatestFiniteMagnitude] {
                var scores: [Float] = [0, value, 1, value, 2, value, 3, value]
                var (ranking, preferences, weights) = (scores, scores, [Float](repeating: 0, count: 4))
                var experts = [Int32](repeating: 0, count: 4)
                var scoreSpan = scores.mutableSpan
                var rankingSpan = ranking.mutableSpan
                var preferenceSpan = preferences.mutableSpan
                var weightSpan = weights.mutableSpan
                var expertSpan = experts.mutableSpan
                let residents: [Int32] = [0, 1, 0, 0, 1, 0, 0, 1]
                Router.with(configuration, bias: bias) { router in
                    _ = router.choose(
                        scores: &scoreSpan, ranking: &rankingSpan, preferences: &preferenceSpan, experts: &expertSpan,
                        weights: &weightSpan, by: LossyRouting(preferResident: 1), residents: residents.span)
                }
                #expect(Set(experts).count == 4 && experts.allSatisfy { 0..<8 ~= $0 }, "\(kind) \(value)")
            }
        }
    }
}

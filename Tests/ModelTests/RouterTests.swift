import Container
import Model
import TestSupport
import Testing

@Suite struct RouterTests {
    private struct Choice: Equatable {
        var experts: [Int32]
        var weights: [Float]
    }

    private func choose(
        _ logits: [Float], bias: [Float] = [], logitBias: [Float] = [], taken: Int,
        scoring: ModelConfiguration.Router.Scoring = .sigmoid,
        groups: Int = 1, groupsPerToken: Int = 1, groupScore: ModelConfiguration.Router.GroupScore = .topTwoSum,
        normalizes: Bool = false, scale: Float = 1
    ) -> Choice {
        let configuration = ModelConfiguration.Experts(
            routedExpertCount: logits.count, expertsPerToken: taken, intermediateSize: 32, sharedIntermediateSize: 0,
            router: ModelConfiguration.Router(
                scoring: scoring, hasSelectionBias: !bias.isEmpty, groupCount: groups, groupsPerToken: groupsPerToken,
                groupScore: groupScore, normalizesWeights: normalizes, weightScale: scale))
        var scores = logits
        var ranking = [Float](repeating: 0, count: logits.count)
        var experts = [Int32](repeating: -1, count: taken)
        var weights = [Float](repeating: .nan, count: taken)
        var scoreSpan = scores.mutableSpan
        var rankingSpan = ranking.mutableSpan
        var expertSpan = experts.mutableSpan
        var weightSpan = weights.mutableSpan
        Router.with(configuration, bias: bias, logitBias: logitBias) { router in
            router.choose(scores: &scoreSpan, ranking: &rankingSpan, experts: &expertSpan, weights: &weightSpan)
        }
        return Choice(experts: experts, weights: weights)
    }

    private func isClose(_ values: [Float], _ expected: [Float]) -> Bool {
        values.count == expected.count && zip(values, expected).allSatisfy { abs($0 - $1) <= 1e-6 }
    }

    /// What a capacity leaves of tokens that choose these experts one after the other: −1 for one that is left out.
    private func limited(_ choices: [[Int32]], capacity: Int?) -> (experts: [[Int32]], dropped: Int) {
        var configuration = ModelConfiguration.Router(
            scoring: .softmax, hasSelectionBias: false, groupCount: 1, groupsPerToken: 1, groupScore: .maximum,
            normalizesWeights: false, weightScale: 1)
        configuration.capacity = capacity
        let router = Router(
            experts: ModelConfiguration.Experts(
                routedExpertCount: 4, expertsPerToken: choices[0].count, intermediateSize: 32,
                sharedIntermediateSize: 0, router: configuration))
        var uses = [Int32](repeating: 0, count: 4)
        var dropped = 0
        let experts = choices.map { choice in
            var experts = choice
            var expertSpan = experts.mutableSpan
            var useSpan = uses.mutableSpan
            dropped += router.leaveOutFull(&expertSpan, uses: &useSpan)
            return experts
        }
        return (experts, dropped)
    }

    @Test func anExpertTakesTheFirstTokensItHasRoomFor() {
        let all: [[Int32]] = [[2], [2], [0], [2], [2], [0], [3]]
        let two = limited(all, capacity: 2)
        #expect(two.experts == [[2], [2], [0], [-1], [-1], [0], [3]] && two.dropped == 2)
        #expect(limited(all, capacity: 1).dropped == 4)
        for capacity in [4, nil] {
            let found = limited(all, capacity: capacity)
            #expect(found.experts == all && found.dropped == 0)
        }
    }

    @Test func oneOfATokensExpertsMayBeFull() {
        let found = limited([[0, 1], [1, 2], [-1, 1], [0, 3]], capacity: 1)
        #expect(found.experts == [[0, 1], [-1, 2], [-1, -1], [-1, 3]] && found.dropped == 3)
    }

    @Test func takesTheBestFirst() {
        #expect(choose([0.5, 3, -1, 2], taken: 3).experts == [1, 3, 0])
    }

    @Test func tiesGoToTheLowerIndex() {
        #expect(choose([1, 2, 2, 1, 2, 1], taken: 4).experts == [1, 2, 4, 0])
        // Saturated sigmoids tie too.
        #expect(choose([100, 200, 300, 90], taken: 2).experts == [0, 1])
    }

    @Test func sigmoidScoresAreTheWeights() {
        let choice = choose([0, 1, -1, 2], taken: 2)
        #expect(choice.experts == [3, 1])
        #expect(isClose(choice.weights, [0.880797, 0.7310586]))
    }

    @Test func aBiasOfTheLogitsCountsInTheWeights() {
        let logits: [Float] = [1, 2, 3, 4]
        let choice = choose(logits, logitBias: [4, 0, -3, 0], taken: 2, scoring: .softmaxOfChosen)
        #expect(choice == choose([5, 2, 0, 4], taken: 2, scoring: .softmaxOfChosen))
        #expect(choice.experts == [0, 3])
        #expect(isClose(choice.weights, [0.7310586, 0.26894143]))
    }

    @Test func softmaxRunsOverAllExperts() {
        let choice = choose([0, 1, 2, 3], taken: 2, scoring: .softmax)
        #expect(choice.experts == [3, 2])
        #expect(isClose(choice.weights, [0.6439142, 0.2368828]))
    }

    @Test func softmaxOfLargeLogitsStaysFinite() {
        let choice = choose([5000, 4999, -5000, 0], taken: 2, scoring: .softmax)
        #expect(isClose(choice.weights, [0.7310586, 0.2689414]))
    }

    @Test func softmaxRunsOverTheChosen() {
        let choice = choose([0, 1, 2, 3], taken: 2, scoring: .softmaxOfChosen)
        #expect(choice.experts == [3, 2])
        #expect(isClose(choice.weights, [0.7310586, 0.2689414]))
        // Whatever the logits' size, and the sum is one already.
        let large = choose([5000, 4999, -5000, 0], taken: 2, scoring: .softmaxOfChosen, normalizes: true, scale: 2)
        #expect(isClose(large.weights, [1.4621172, 0.5378828]))
    }

    /// A softmax over all would make equals of what is far below the best.
    @Test func logitsChooseWhereScoresWouldTie() {
        let logits: [Float] = [0, -300, -200, -250]
        #expect(choose(logits, taken: 2, scoring: .softmax).experts == [0, 1])
        #expect(choose(logits, taken: 2, scoring: .softmaxOfChosen).experts == [0, 2])
    }

    /// The order matters to nothing but rounding.
    @Test func softmaxBeforeOrAfterTheChoiceIsTheSame() {
        for seed in 0..<100 {
            var random = SplitMix(seed: UInt64(seed))
            let logits = (0..<64).map { _ in Float(random.next() >> 40) / Float(1 << 22) - 2 }
            let before = choose(logits, taken: 8, scoring: .softmax, normalizes: true)
            let after = choose(logits, taken: 8, scoring: .softmaxOfChosen)
            #expect(before.experts == after.experts)
            #expect(isClose(before.weights, after.weights))
        }
    }

    @Test func theBiasChoosesAndDoesNotWeigh() {
        let choice = choose([0, 1, -1, 2], bias: [0, 0, 5, 0], taken: 2)
        #expect(choice.experts == [2, 3])
        #expect(isClose(choice.weights, [0.2689414, 0.880797]))
    }

    @Test func normalisedWeightsAddUpToTheScale() {
        let choice = choose([0, 1, -1, 2], taken: 3, normalizes: true, scale: 2.5)
        #expect(isClose([choice.weights.reduce(0, +)], [2.5]))
        #expect(isClose(choice.weights, [1.0426814, 0.865422, 0.5918965]))
    }

    @Test func theScaleWorksWithoutNormalisation() {
        #expect(isClose(choose([0, 0], taken: 1, scale: 16).weights, [8]))
    }

    @Test func groupsAreRankedByTheirMaximum() {
        // Group 0 has the best expert, group 1 the best pair.
        let logits: [Float] = [4, -9, 3, 3, -9, -9]
        let choice = choose(logits, taken: 2, groups: 3, groupsPerToken: 1, groupScore: .maximum)
        #expect(choice.experts == [0, 1])
    }

    @Test func groupsAreRankedByTheirBestPair() {
        let logits: [Float] = [4, -9, 3, 3, -9, -9]
        let choice = choose(logits, taken: 2, groups: 3, groupsPerToken: 1, groupScore: .topTwoSum)
        #expect(choice.experts == [2, 3])
    }

    @Test func groupScoresIncludeTheBias() {
        let choice = choose(
            [0, 0, 0, 0], bias: [0, 0, 0.1, 0.1], taken: 2, groups: 2, groupsPerToken: 1, groupScore: .topTwoSum)
        #expect(choice.experts == [2, 3])
    }

    @Test func tiedGroupsGoToTheLowerIndex() {
        let choice = choose([1, 1, 1, 1, 1, 1, 1, 1], taken: 3, groups: 4, groupsPerToken: 2)
        #expect(choice.experts == [0, 1, 2])
    }

    /// With a mask of zero instead of minus infinity masked experts would beat the kept ones here.
    @Test func maskedExpertsLoseToNegativeScores() {
        let choice = choose(
            [0, 0, 0, 0, 0, 0], bias: [-2, -2, -1, -1, -3, -3], taken: 2, groups: 3, groupsPerToken: 1)
        #expect(choice.experts == [2, 3])
    }

    @Test func keepsSeveralGroups() {
        let choice = choose(
            [0, 9, 1, 1, 8, 0, 7, 7], taken: 4, groups: 4, groupsPerToken: 2, groupScore: .maximum)
        #expect(choice.experts == [1, 4, 0, 5])
    }

    @Test func damagedLogitsStillGiveDistinctExperts() {
        let choice = choose([.nan, .nan, .nan, .nan], taken: 4)
        #expect(choice.experts == [0, 1, 2, 3])
    }
}

import Generation
import Glibc
import Testing

@Suite struct SamplerTests {
    private static let logits: [Float] = [1.5, -0.25, 3, 0.75, 2.5, -2]

    private func draw(
        _ parameters: SamplingParameters, logits: [Float] = logits, count: Int = 40_000
    ) throws -> [Double] {
        var parameters = parameters
        var frequencies = [Double](repeating: 0, count: logits.count)
        // A fresh sampler a draw would test the seeds; one sampler tests its stream.
        parameters.seed = 99
        var sampler = Sampler(parameters: parameters, vocabularySize: logits.count, prompt: [])
        for _ in 0..<count { frequencies[Int(try sampler.sample(logits.span))] += 1 }
        return frequencies.map { $0 / Double(count) }
    }

    /// softmax(logits / temperature) over the ids for which `isKept`.
    private func exact(_ temperature: Double, logits: [Float] = logits, _ isKept: (Int) -> Bool) -> [Double] {
        let weights = logits.indices.map { isKept($0) ? exp(Double(logits[$0]) / temperature) : 0 }
        return weights.map { $0 / weights.reduce(0, +) }
    }

    private func expect(_ frequencies: [Double], equal probabilities: [Double]) {
        for (frequency, probability) in zip(frequencies, probabilities) {
            if probability == 0 {
                #expect(frequency == 0)
            } else {
                // Five standard deviations of 40,000 draws.
                let deviation = (probability * (1 - probability) / 40_000).squareRoot()
                #expect(abs(frequency - probability) <= 5 * deviation)
            }
        }
    }

    @Test(arguments: [0.3, 1, 1.7])
    func drawsFollowTheSoftmax(temperature: Double) throws {
        let frequencies = try draw(SamplingParameters(temperature: temperature))
        expect(frequencies, equal: exact(temperature) { _ in true })
    }

    @Test(arguments: [(1, [2]), (2, [2, 4]), (4, [2, 4, 0, 3]), (6, [0, 1, 2, 3, 4, 5]), (100, [0, 1, 2, 3, 4, 5])])
    func topKKeepsTheLargest(topK: Int, kept: [Int]) throws {
        let frequencies = try draw(SamplingParameters(temperature: 0.8, topK: topK))
        expect(frequencies, equal: exact(0.8) { kept.contains($0) })
    }

    /// The probabilities in falling order are .505, .306, .113, .053, .020, .003.
    @Test(arguments: [(0.01, 1), (0.5, 1), (0.51, 2), (0.81, 2), (0.82, 3), (0.96, 4), (0.9999, 6)])
    func topPKeepsTheFewestThatReachIt(topP: Double, count: Int) throws {
        let kept = [2, 4, 0, 3, 1, 5].prefix(count)
        let frequencies = try draw(SamplingParameters(temperature: 1.3, topP: topP))
        expect(frequencies, equal: exact(1.3) { kept.contains($0) })
    }

    @Test(arguments: [(0.9, 1), (0.6, 2), (0.2, 3), (0.05, 4), (0.001, 6)])
    func minPKeepsWhatIsLikelyEnough(minP: Double, count: Int) throws {
        let kept = [2, 4, 0, 3, 1, 5].prefix(count)
        let frequencies = try draw(SamplingParameters(minP: minP))
        expect(frequencies, equal: exact(1) { kept.contains($0) })
    }

    /// Of the two that top-k keeps the first has 62 %.
    @Test(arguments: [(0.6, 1), (0.65, 2)])
    func topPCountsWhatTopKLeft(topP: Double, count: Int) throws {
        let kept = [2, 4].prefix(count)
        let frequencies = try draw(SamplingParameters(topK: 2, topP: topP))
        expect(frequencies, equal: exact(1) { kept.contains($0) })
    }

    @Test func theLimitsDoNotDependOnTheTemperature() throws {
        let frequencies = try draw(SamplingParameters(temperature: 5, topP: 0.81))
        expect(frequencies, equal: exact(5) { $0 == 2 || $0 == 4 })
    }

    @Test(arguments: [SamplingParameters(temperature: 0), SamplingParameters(temperature: 1e-9)])
    func withoutTemperatureTheLargestIsChosen(parameters: SamplingParameters) throws {
        var sampler = Sampler(parameters: parameters, vocabularySize: 6, prompt: [])
        #expect(try sampler.sample(Self.logits.span) == 2)
    }

    @Test func equalsGoToTheLowerId() throws {
        var sampler = Sampler(parameters: SamplingParameters(temperature: 0), vocabularySize: 4, prompt: [])
        #expect(try sampler.sample(([1, 2, 2, 0] as [Float]).span) == 1)
        var limited = Sampler(parameters: SamplingParameters(topK: 1), vocabularySize: 4, prompt: [])
        #expect(try limited.sample(([1, 2, 2, 0] as [Float]).span) == 1)
    }

    @Test func impossibleTokensAreNeverDrawn() throws {
        let logits: [Float] = [-.infinity, 0, -.infinity, 0]
        let frequencies = try draw(SamplingParameters(), logits: logits)
        expect(frequencies, equal: [0, 0.5, 0, 0.5])
    }

    @Test(arguments: [0, 1], [Float.nan, .infinity])
    func logitsThatAreNotNumbersAreAnError(temperature: Double, bad: Float) throws {
        for place in 0..<3 {
            var logits: [Float] = [0, 1, 2]
            logits[place] = bad
            var sampler = Sampler(
                parameters: SamplingParameters(temperature: temperature), vocabularySize: 3, prompt: [])
            let error = #expect(throws: GenerationError.self) { try sampler.sample(logits.span) }
            #expect(error?.code == .internal)
        }
        var sampler = Sampler(parameters: SamplingParameters(), vocabularySize: 2, prompt: [])
        #expect(throws: GenerationError.self) { try sampler.sample(([-.infinity, -.infinity] as [Float]).span) }
    }

    @Test func theSameSeedDrawsTheSame() throws {
        func tokens(seed: UInt64?) throws -> ([Int32], UInt64) {
            var sampler = Sampler(
                parameters: SamplingParameters(temperature: 1.2, topP: 0.99, seed: seed), vocabularySize: 6, prompt: [])
            return (try (0..<64).map { _ in try sampler.sample(Self.logits.span) }, sampler.seed)
        }
        #expect(try tokens(seed: 7).0 == tokens(seed: 7).0)
        #expect(try tokens(seed: 7).0 != tokens(seed: 8).0)
        let drawn = try tokens(seed: nil)
        #expect(try tokens(seed: drawn.1).0 == drawn.0)
        #expect(try tokens(seed: nil).1 != drawn.1)
    }

    @Test func theRandomNumbersAreThoseOfThePaper() {
        var random = RandomSource(seed: 1_234_567)
        let expected: [UInt64] = [
            6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
            4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
        ]
        #expect(expected.map { _ in random.next() } == expected)
        for _ in 0..<1000 {
            let unit = random.nextUnit()
            #expect(unit >= 0 && unit < 1)
        }
    }

    @Test func theExponentialIsExactToTheLastBits() {
        for step in 0...70_000 {
            let x = -Double(step) * 0.01 * 0.999_7
            #expect(abs(exponential(x) - exp(x)) <= 4e-16 * exp(x))
        }
        #expect(exponential(0) == 1)
        #expect(exponential(-701) == 0)
        #expect(exponential(-.infinity) == 0)
    }

    // MARK: Penalties, each pinned from both sides

    /// Whether token 0, with logit `first`, still beats token 1, with logit `second`.
    private func firstWins(
        _ first: Float, over second: Float, _ parameters: SamplingParameters, prompt: [Int32] = [],
        answer: [Int32] = []
    ) throws -> Bool {
        var parameters = parameters
        parameters.temperature = 0
        var sampler = Sampler(parameters: parameters, vocabularySize: 3, prompt: prompt)
        for token in answer {
            var logits: [Float] = [0, 0, 0]
            logits[Int(token)] = 1000
            #expect(try sampler.sample(logits.span) == token)
        }
        return try sampler.sample(([first, second, -100] as [Float]).span) == 0
    }

    @Test func repetitionDividesWhatIsPositiveAndMultipliesWhatIsNot() throws {
        let parameters = SamplingParameters(repetitionPenalty: 1.5)
        // 2 / 1.5 = 1.333…
        #expect(try firstWins(2, over: 1.33, parameters, answer: [0]))
        #expect(try !firstWins(2, over: 1.34, parameters, answer: [0]))
        // -2 · 1.5 = -3
        #expect(try firstWins(-2, over: -3.01, parameters, answer: [0]))
        #expect(try !firstWins(-2, over: -2.99, parameters, answer: [0]))
        // Once, however often; and the prompt counts.
        #expect(try firstWins(2, over: 1.33, parameters, answer: [0, 0, 0]))
        #expect(try !firstWins(2, over: 1.34, parameters, prompt: [0, 0]))
        #expect(try firstWins(2, over: 1.99, parameters, prompt: [2]))
    }

    @Test func presenceIsSubtractedOnce() throws {
        let parameters = SamplingParameters(presencePenalty: 0.5)
        #expect(try firstWins(2, over: 1.49, parameters, answer: [0, 0]))
        #expect(try !firstWins(2, over: 1.51, parameters, answer: [0, 0]))
        #expect(try firstWins(2, over: 1.99, parameters, prompt: [0]))
    }

    @Test func frequencyIsSubtractedForEveryTime() throws {
        let parameters = SamplingParameters(frequencyPenalty: 0.5)
        #expect(try firstWins(3, over: 1.49, parameters, answer: [0, 0, 0]))
        #expect(try !firstWins(3, over: 1.51, parameters, answer: [0, 0, 0]))
        #expect(try firstWins(2, over: 1.99, parameters, prompt: [0, 0]))
    }

    @Test func repetitionComesBeforePresenceAndFrequency() throws {
        let parameters = SamplingParameters(repetitionPenalty: 2, presencePenalty: 0.25, frequencyPenalty: 0.5)
        // 4 / 2 − 2 · 0.5 − 0.25 = 0.75
        #expect(try firstWins(4, over: 0.74, parameters, answer: [0, 0]))
        #expect(try !firstWins(4, over: 0.76, parameters, answer: [0, 0]))
    }

    @Test func negativePenaltiesEncourage() throws {
        #expect(try firstWins(1, over: 1.4, SamplingParameters(presencePenalty: -0.5), answer: [0]))
        #expect(try !firstWins(1, over: 1.4, SamplingParameters(presencePenalty: -0.3), answer: [0]))
    }

    // MARK: Under a constraint

    private func drawAcceptable(
        _ parameters: SamplingParameters, logits: [Float] = logits, _ accepted: Set<Int32>
    ) throws -> [Double] {
        var parameters = parameters
        var frequencies = [Double](repeating: 0, count: logits.count)
        parameters.seed = 7
        var sampler = Sampler(parameters: parameters, vocabularySize: logits.count, prompt: [])
        for _ in 0..<40_000 {
            let token = try #require(try sampler.sample(logits.span) { accepted.contains($0) })
            frequencies[Int(token)] += 1
        }
        return frequencies.map { $0 / 40_000 }
    }

    @Test(arguments: [[0, 3, 5], [5], [1, 2], [0, 1, 2, 3, 4, 5]] as [Set<Int32>])
    func acceptableDrawsFollowTheSoftmaxOfWhatIsAcceptable(accepted: Set<Int32>) throws {
        let frequencies = try drawAcceptable(SamplingParameters(temperature: 1.3), accepted)
        expect(frequencies, equal: exact(1.3) { accepted.contains(Int32($0)) })
    }

    /// Top-k keeps 2 and 4; of what is acceptable only if it keeps none of that.
    @Test(arguments: [([0, 2, 4, 5], [2, 4]), ([0, 3, 4], [4]), ([0, 3, 5], [0, 3])] as [(Set<Int32>, [Int])])
    func whatTheRulesKeepComesFirst(accepted: Set<Int32>, kept: [Int]) throws {
        let frequencies = try drawAcceptable(SamplingParameters(topK: 2), accepted)
        expect(frequencies, equal: exact(1) { kept.contains($0) })
    }

    /// More than are drawn one by one, the acceptable ones the least likely, so that e^x of the difference is nothing.
    @Test func theLeastLikelyOfManyAreDrawnByTheirWeights() throws {
        let logits = (0..<200).map { $0 < 3 ? Float($0) / 2 : 2000 + Float($0) }
        let frequencies = try drawAcceptable(SamplingParameters(), logits: logits, [0, 1, 2])
        expect(frequencies, equal: exact(1, logits: logits.map { $0 > 1000 ? -.infinity : $0 }) { $0 < 3 })
        var sampler = Sampler(
            parameters: SamplingParameters(temperature: 0), vocabularySize: logits.count, prompt: [])
        #expect(try sampler.sample(logits.span) { $0 < 3 } == 2)
        #expect(try sampler.sample(logits.span) { _ in false } == nil)
    }

    @Test func greedyTakesTheLikeliestThatIsAcceptable() throws {
        var sampler = Sampler(parameters: SamplingParameters(temperature: 0), vocabularySize: 6, prompt: [])
        #expect(try sampler.sample(Self.logits.span) { [0, 3, 5].contains($0) } == 0)
        #expect(try sampler.sample(Self.logits.span) { _ in true } == 2)
    }

    @Test(arguments: [
        SamplingParameters(seed: 5), SamplingParameters(topK: 3, topP: 0.9, repetitionPenalty: 1.2, seed: 5),
    ])
    func aConstraintThatTakesAllChangesNothing(parameters: SamplingParameters) throws {
        var plain = Sampler(parameters: parameters, vocabularySize: 6, prompt: [1])
        var constrained = plain
        for _ in 0..<500 {
            #expect(try plain.sample(Self.logits.span) == constrained.sample(Self.logits.span) { _ in true })
        }
    }
}

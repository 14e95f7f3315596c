import Generation
import Model
import Testing

@Suite(.serialized) struct PrefixCacheTests {
    private func request(_ demo: DemoEngine, _ tokens: [Int32], _ seed: UInt64 = 1) -> GenerationRequest {
        GenerationRequest(
            promptTokens: tokens, sampling: SamplingParameters(temperature: 0.9, seed: seed), maximumTokens: 70,
            alternativeCount: 2)
    }

    private func story(_ demo: DemoEngine, _ count: Int, _ start: String = "") throws -> [Int32] {
        try demo.longPrompt(count, start).promptTokens
    }

    @Test(arguments: [1, 20, 63, 64, 65, 200])
    func aSharedBeginningIsComputedOnce(count: Int) async throws {
        let demo = try DemoEngine()
        let shared = try story(demo, count)
        let first = shared + (try demo.tokens("He saw a cat."))
        let second = shared + (try demo.tokens("It was late, and he"))
        let fresh = try DemoEngine()
        let expected = try await Collected(fresh.engine.submit(request(fresh, second)))
        #expect(expected.completion?.usage.cachedTokens == 0)

        _ = try await Collected(demo.engine.submit(request(demo, first)))
        for _ in 0..<2 {
            let answer = try await Collected(demo.engine.submit(request(demo, second)))
            #expect(answer.text == expected.text)
            #expect(answer.logProbabilities == expected.logProbabilities)
            #expect(answer.completion?.usage.promptTokens == second.count)
            #expect((answer.completion?.usage.cachedTokens ?? 0) >= count)
            #expect(answer.progress.last == second.count)
        }
        // Now the whole prompt is known; its last token is computed all the same.
        let again = try await Collected(demo.engine.submit(request(demo, second)))
        #expect(again.completion?.usage.cachedTokens == second.count - 1)
    }

    /// What decoding computed is rounded otherwise than what prefill computes, so the answer isn't kept.
    @Test func aConversationGoesOnFromItsLastPrompt() async throws {
        let demo = try DemoEngine()
        let prompt = try story(demo, 150)
        let answer = try await Collected(demo.engine.submit(request(demo, prompt)))
        let next = prompt + answer.logProbabilities.map(\.token) + (try demo.tokens("And then?"))
        let continued = try await Collected(demo.engine.submit(request(demo, next, 2)))
        #expect(continued.completion?.usage.cachedTokens == prompt.count)
        let fresh = try DemoEngine()
        let expected = try await Collected(fresh.engine.submit(request(fresh, next, 2)))
        #expect(continued.text == expected.text)
        #expect(continued.logProbabilities == expected.logProbabilities)
    }

    @Test func oneWhoStillRunsSharesItsPrompt() async throws {
        let demo = try DemoEngine(endTokens: [])
        let prompt = try story(demo, 150)
        let running = try demo.engine.submit(
            GenerationRequest(promptTokens: prompt, sampling: SamplingParameters(seed: 1), maximumTokens: 1500))
        try await demo.wait { if case .decode = $0.activity { true } else { false } }
        let second = try await Collected(demo.engine.submit(request(demo, prompt + [7, 8, 9])))
        #expect(second.completion?.usage.cachedTokens == prompt.count)
        #expect(demo.engine.status().runningCount == 1)
        running.cancel()
    }

    /// The cache holds 8 blocks, one context: kept prompts give way, the least recently used first.
    @Test func keptPromptsGiveWay() async throws {
        let demo = try DemoEngine(context: 512, sequences: 2, hasSpareMemory: false)
        #expect(demo.model.plan.cacheBlockCount == 8)
        func cached(_ tokens: [Int32]) async throws -> Int {
            let request = GenerationRequest(
                promptTokens: tokens, sampling: SamplingParameters(temperature: 0), maximumTokens: 1)
            return try await Collected(demo.engine.submit(request)).completion?.usage.cachedTokens ?? -1
        }
        let first = try story(demo, 128, "One. ")
        let second = try story(demo, 128, "Two. ")
        let third = try story(demo, 128, "Three. ")
        #expect(try await cached(first) == 0)
        #expect(try await cached(second) <= 1)
        #expect(try await cached(third) <= 1)
        #expect(try await cached(first) == 127)
        // Two blocks each: this takes four of the eight, so the second prompt goes and a part of the third.
        #expect(try await cached(story(demo, 250, "Seven. ")) <= 1)
        #expect(try await cached(first) == 127)
        #expect(try await cached(second) <= 1)
        // A prompt that needs everything gets it.
        #expect(try await cached(story(demo, 512, "Nine. ")) <= 1)
        #expect(try await cached(first) <= 1)
    }
}

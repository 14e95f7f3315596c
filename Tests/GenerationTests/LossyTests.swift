import Container
import ExpertPaging
import Generation
import Model
import Testing

/// Answers with lossy help, and what stays as it was beside them.
@Suite(.serialized) struct LossyTests {
    private func request(_ demo: DemoEngine, _ lossy: LossyRouting, _ text: String = "Once upon a time") throws
        -> GenerationRequest
    {
        var request = try demo.request(text, maximumTokens: 60, alternativeCount: 2)
        request.lossy = lossy
        return request
    }

    private static let strong = LossyRouting(preferResident: 0.4, dropCold: 1)

    @Test func helpIsReportedAndCounted() async throws {
        let demo = try DemoEngine(expertSlots: 24, endTokens: [])
        let answer = try await Collected(demo.engine.submit(request(demo, Self.strong)))
        let use = try #require(answer.completion).lossyUse
        let configuration = demo.model.configuration
        let layers = configuration.sparseLayers.count { $0 }
        // The first token comes from the prompt, which is read without help.
        #expect(use.choiceCount == 59 * layers * (configuration.experts?.expertsPerToken ?? 0))
        #expect(use.substitutedCount > 0 && use.droppedCount > 0)
        let paging = demo.engine.status().paging
        #expect(paging.substitutions == UInt64(use.substitutedCount) && paging.drops == UInt64(use.droppedCount))

        let plain = try await Collected(demo.engine.submit(request(demo, .off)))
        #expect(plain.completion?.lossyUse == LossyRouting.Use())
        #expect(demo.engine.status().paging.drops == paging.drops)
    }

    /// Whoever comes afterwards finds the prompt in the cache as prefill left it, and nothing of the answer.
    @Test func whatIsKeptOfAPromptIsUntouched() async throws {
        let story = try DemoEngine(expertSlots: 24, endTokens: []).longPrompt(150).promptTokens
        func asks(_ lossy: LossyRouting, _ tokens: [Int32]) -> GenerationRequest {
            GenerationRequest(
                promptTokens: tokens, sampling: SamplingParameters(temperature: 0), maximumTokens: 60,
                alternativeCount: 2, lossy: lossy)
        }
        let demo = try DemoEngine(expertSlots: 24, endTokens: [])
        let helped = try await Collected(demo.engine.submit(asks(Self.strong, story)))
        let next = story + helped.logProbabilities.map(\.token) + (try demo.tokens("And then?"))
        for tokens in [story, next] {
            let fresh = try DemoEngine(endTokens: [])
            let expected = try await Collected(fresh.engine.submit(asks(.off, tokens)))
            let answer = try await Collected(demo.engine.submit(asks(.off, tokens)))
            #expect(answer.completion?.usage.cachedTokens == (tokens == story ? story.count - 1 : story.count))
            #expect(answer.text == expected.text)
            #expect(answer.logProbabilities == expected.logProbabilities)
            #expect(answer.logProbabilities != helped.logProbabilities)
        }
    }

    /// The two run at once; only one of them is helped.
    @Test func neighboursDontNotice() async throws {
        let fresh = try DemoEngine(endTokens: [])
        let expected = try await Collected(fresh.engine.submit(request(fresh, .off, "The dog saw")))
        let demo = try DemoEngine(expertSlots: 24, endTokens: [])
        async let helped = Collected(demo.engine.submit(request(demo, Self.strong)))
        async let plain = Collected(demo.engine.submit(request(demo, .off, "The dog saw")))
        #expect(try await plain.logProbabilities == expected.logProbabilities)
        #expect((try await helped.completion?.lossyUse.substitutedCount ?? 0) > 0)
    }
}

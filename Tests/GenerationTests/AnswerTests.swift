import Generation
import Glibc
import Model
import Testing
import Tokenizer

@Suite(.serialized) struct AnswerTests {
    /// What the model says when it is stepped by hand.
    private func greedy(_ demo: DemoEngine, count: Int) throws -> [Int32] {
        let state = try demo.model.makeState()
        var tokens: [Int32] = []
        try demo.model.prefill(try demo.tokens("Once upon a time")[...], state: state)
        while tokens.count < count {
            let logits = demo.model.logits
            let best = logits.indices.reduce(0) { logits[$1] > logits[$0] ? $1 : $0 }
            tokens.append(Int32(best))
            try demo.model.decode(Int32(best), state: state)
        }
        return tokens
    }

    @Test func theGreedyAnswerIsTheModels() async throws {
        let demo = try DemoEngine(endTokens: [])
        let expected = try greedy(demo, count: 40)
        let answer = try await Collected(demo.engine.submit(demo.request()))
        #expect(answer.text == demo.tokenizer.decode(expected, skipSpecial: true))
        #expect(answer.tokenCount == 40)
        #expect(answer.completion?.reason == .length)
        #expect(answer.completion?.usage.completionTokens == 40)
        #expect(try answer.completion?.usage.promptTokens == demo.tokens("Once upon a time").count)
        #expect(answer.completion?.usage.reasoningTokens == 0)
        #expect(answer.progress.last == answer.completion?.usage.promptTokens)
    }

    @Test func anEndTokenEndsTheAnswerAndIsNotShown() async throws {
        let tokens = try greedy(DemoEngine(endTokens: []), count: 12)
        let end = try #require(tokens.last)
        let place = try #require(tokens.firstIndex(of: end))
        let demo = try DemoEngine(endTokens: [end])
        let answer = try await Collected(demo.engine.submit(demo.request()))
        #expect(answer.completion?.reason == .stop)
        #expect(answer.completion?.usage.completionTokens == place + 1)
        #expect(answer.text == demo.tokenizer.decode(tokens[..<place], skipSpecial: true))
    }

    @Test func theSameSeedGivesTheSameText() async throws {
        let demo = try DemoEngine()
        func text(_ seed: UInt64?) async throws -> Collected {
            try await Collected(demo.engine.submit(demo.request(temperature: 1, seed: seed)))
        }
        let first = try await text(5)
        #expect(try await text(5).text == first.text)
        #expect(try await text(6).text != first.text)
        #expect(first.completion?.seed == 5)
        let drawn = try await text(nil)
        #expect(try await text(drawn.completion?.seed).text == drawn.text)
    }

    @Test func stopStringsEndTheAnswerWhereverTokensEnd() async throws {
        let demo = try DemoEngine(endTokens: [])
        let whole = try await Collected(demo.engine.submit(demo.request(maximumTokens: 24))).text
        let characters = Array(whole)
        for start in stride(from: 1, to: characters.count - 5, by: 4) {
            let stop = String(characters[start..<start + 5])
            let first = try #require(whole.firstRange(of: stop))
            let answer = try await Collected(demo.engine.submit(demo.request(maximumTokens: 24, stop: [stop])))
            #expect(answer.text == whole[..<first.lowerBound])
            #expect(answer.completion?.reason == .stop)
        }
        // One that begins at the end of the answer is shown in the end.
        let open = String(characters.suffix(3)) + "…"
        let answer = try await Collected(demo.engine.submit(demo.request(maximumTokens: 24, stop: [open])))
        #expect(answer.text == whole)
        #expect(answer.completion?.reason == .length)
    }

    @Test(arguments: [1, 7])
    func theEndOfTheContextEndsTheAnswer(room: Int) async throws {
        let count = try DemoEngine().tokens("Once upon a time").count
        let demo = try DemoEngine(context: count + room, endTokens: [])
        let answer = try await Collected(demo.engine.submit(demo.request(maximumTokens: 1000)))
        #expect(answer.completion?.reason == .length)
        #expect(answer.completion?.usage.completionTokens == room)
    }

    @Test func aPromptThatFillsTheContextGetsOneToken() async throws {
        let count = try DemoEngine().tokens("Once upon a time").count
        let demo = try DemoEngine(context: count, endTokens: [])
        let answer = try await Collected(demo.engine.submit(demo.request()))
        #expect(answer.completion?.usage.completionTokens == 1)
        #expect(answer.completion?.reason == .length)
    }

    @Test func reasoningIsCountedUpToItsEnd() async throws {
        let demo = try DemoEngine(endTokens: [])
        let tokens = try greedy(demo, count: 9)
        let place = try #require(tokens.firstIndex(of: tokens[8]))
        let answer = try await Collected(
            demo.engine.submit(demo.request(maximumTokens: 20, reasoningEndToken: tokens[8])))
        #expect(answer.completion?.usage.reasoningTokens == place + 1)
        let never = try await Collected(
            demo.engine.submit(demo.request(maximumTokens: 20, reasoningEndToken: 2)))
        #expect(never.completion?.usage.reasoningTokens == 20)
    }

    @Test func logProbabilitiesAreTheSoftmaxOfTheModelsLogits() async throws {
        let demo = try DemoEngine(endTokens: [])
        let state = try demo.model.makeState()
        try demo.model.prefill(try demo.tokens("Once upon a time")[...], state: state)
        let logits = demo.model.logits.map { Double($0) }
        let answer = try await Collected(
            demo.engine.submit(demo.request(temperature: 1.5, maximumTokens: 30, seed: 3, alternativeCount: 20)))

        let largest = logits.max() ?? 0
        let normalizer = largest + log(logits.reduce(0) { $0 + exp($1 - largest) })
        let first = try #require(answer.logProbabilities.first)
        #expect(abs(first.logProbability - (logits[Int(first.token)] - normalizer)) < 1e-9)
        let ranking = logits.indices.sorted { (-logits[$0], $0) < (-logits[$1], $1) }
        #expect(first.alternatives.map { Int($0.token) } == Array(ranking.prefix(20)))

        #expect(answer.logProbabilities.count == 30)
        for entry in answer.logProbabilities {
            #expect(entry.alternatives.count == 20)
            let sum = entry.alternatives.reduce(0) { $0 + exp($1.logProbability) }
            #expect(sum > 0.05 && sum <= 1 + 1e-9)
            #expect(entry.alternatives.allSatisfy { $0.logProbability >= entry.alternatives[19].logProbability })
            if let same = entry.alternatives.first(where: { $0.token == entry.token }) {
                #expect(same.logProbability == entry.logProbability)
            }
        }
        #expect(String(decoding: answer.logProbabilities.flatMap(\.bytes), as: UTF8.self) == answer.text)
    }

    @Test func logProbabilitiesEndWithTheText() async throws {
        let demo = try DemoEngine(endTokens: [])
        let whole = try await Collected(demo.engine.submit(demo.request(maximumTokens: 20))).text
        let stop = String(whole.dropFirst(20).prefix(6))
        let answer = try await Collected(
            demo.engine.submit(demo.request(maximumTokens: 20, stop: [stop], alternativeCount: 0)))
        let shown = String(decoding: answer.logProbabilities.flatMap(\.bytes), as: UTF8.self)
        #expect(answer.text.hasPrefix(shown))
        #expect(answer.text.utf8.count - shown.utf8.count < 12)
        #expect(answer.logProbabilities.allSatisfy { $0.alternatives.isEmpty })
    }

    /// At a high temperature the demo's tokens are mostly noise, with many halves of characters.
    @Test func charactersAreNeverSplit() async throws {
        let demo = try DemoEngine(endTokens: [])
        for seed in 0..<4 {
            let stream = try demo.engine.submit(
                demo.request(temperature: 50, maximumTokens: 400, seed: UInt64(seed), alternativeCount: 0))
            var (text, tokens): (String, [Int32]) = ("", [])
            for try await case .text(let delta) in stream {
                text += delta.text
                tokens += delta.logProbabilities.map(\.token)
            }
            // A piece that was cut would have left replacement characters where the whole has none.
            #expect(text == demo.tokenizer.decode(tokens, skipSpecial: true))
        }
    }

    @Test func whatMakesNoSenseIsRefused() throws {
        let demo = try DemoEngine(context: 64)
        func code(_ change: (inout GenerationRequest) -> Void) throws -> GenerationError.Code? {
            var request = try demo.request()
            change(&request)
            do {
                _ = try demo.engine.submit(request)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(try code { $0.promptTokens = [] } == .invalidRequest)
        #expect(try code { $0.promptTokens = [4096] } == .invalidRequest)
        #expect(try code { $0.promptTokens = [-1] } == .invalidRequest)
        #expect(try code { $0.promptTokens = Array(repeating: 5, count: 65) } == .contextLengthExceeded)
        #expect(try code { $0.maximumTokens = 0 } == .invalidRequest)
        #expect(try code { $0.alternativeCount = 21 } == .invalidRequest)
        #expect(try code { $0.sampling.temperature = -1 } == .invalidRequest)
        #expect(try code { $0.sampling.temperature = .nan } == .invalidRequest)
        #expect(try code { $0.sampling.topP = 0 } == .invalidRequest)
        #expect(try code { $0.sampling.minP = 1.1 } == .invalidRequest)
        #expect(try code { $0.sampling.repetitionPenalty = 0 } == .invalidRequest)
        #expect(try code { $0.sampling.presencePenalty = .infinity } == .invalidRequest)
        #expect(try code { $0.promptTokens = Array(repeating: 5, count: 64) } == nil)
    }
}

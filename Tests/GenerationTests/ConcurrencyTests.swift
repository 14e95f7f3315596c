import Generation
import Model
import TestSupport
import Testing

/// Several answers at a time.
@Suite(.serialized, .ownThreads) struct ConcurrencyTests {
    /// Requests of all kinds.
    private func requests(_ demo: DemoEngine) throws -> [GenerationRequest] {
        let starts = [
            "Once upon a time", "The old man", "A little girl named Lily", "One day, a dog", "Tom and Sam",
            "In a forest",
            "Once upon a time there was a king", "She said:",
        ]
        return try starts.enumerated().map { index, start in
            try demo.request(
                start, temperature: index % 3 == 0 ? 0 : 0.9, maximumTokens: 20 + 9 * index, seed: UInt64(index),
                stop: index == 5 ? ["ing"] : [], alternativeCount: index % 4 == 1 ? 3 : nil)
        }
    }

    private func expectSame(_ first: Collected, _ second: Collected) {
        #expect(first.text == second.text)
        #expect(first.logProbabilities == second.logProbabilities)
        #expect(first.completion?.reason == second.completion?.reason)
        #expect(first.completion?.usage.completionTokens == second.completion?.usage.completionTokens)
    }

    @Test(arguments: [1, 2], [8, 128])
    func answersDontDependOnNeighbours(threads: Int, slots: Int) async throws {
        let alone = try DemoEngine(sequences: 1)
        var expected: [Collected] = []
        for request in try requests(alone) { expected.append(try await Collected(alone.engine.submit(request))) }

        let demo = try DemoEngine(queueLimit: 32, expertSlots: slots, sequences: 5, threads: threads)
        let requests = try requests(demo)
        var random = SplitMix(seed: UInt64(threads * 1000 + slots))
        for _ in 0..<3 {
            var streams: [(Int, GenerationStream)] = []
            var leavers: [GenerationStream] = []
            for index in requests.indices.shuffled(using: &random) {
                streams.append((index, try demo.engine.submit(requests[index])))
                if random.next() % 2 == 0 {
                    leavers.append(try demo.engine.submit(requests[Int(random.next() % 8)]))
                }
                try await Task.sleep(for: .milliseconds(Int(random.next() % 4)))
                if random.next() % 2 == 0, let leaver = leavers.popLast() { leaver.cancel() }
            }
            leavers.removeAll()
            for (index, stream) in streams { expectSame(try await Collected(stream), expected[index]) }
        }
    }

    @Test func severalRunAtATimeAndTheRestWait() async throws {
        let demo = try DemoEngine(queueLimit: 2, endTokens: [], sequences: 3)
        let streams = try (0..<5).map { _ in try demo.engine.submit(demo.endlessRequest()) }
        try await demo.wait { $0.runningCount == 3 && $0.waitingCount == 2 }
        #expect(throws: GenerationError.self) { try demo.engine.submit(demo.request()) }
        streams[1].cancel()
        try await demo.wait { $0.runningCount == 3 && $0.waitingCount == 1 }
        #expect(await failure(of: streams[1])?.code == .cancelled)
        for stream in streams { stream.cancel() }
        try await demo.wait { $0.runningCount == 0 && $0.waitingCount == 0 && $0.activity == .idle }
    }

    /// The cache holds one context, which three answers outgrow: all end, each as it would alone.
    @Test func whoFindsNoRoomWaitsAndGoesOnAsIfNothingHadBeen() async throws {
        func engine(_ sequences: Int) throws -> DemoEngine {
            try DemoEngine(
                queueLimit: 16, context: 256, endTokens: [], sequences: sequences, hasSpareMemory: false)
        }
        let alone = try engine(1)
        let demo = try engine(4)
        #expect(demo.model.plan.cacheBlockCount == 4)
        var expected: [Collected] = []
        for index in 0..<6 {
            let request = try alone.request(
                "The number \(index) said", temperature: 0.8, maximumTokens: 120 + 20 * index, seed: UInt64(index))
            expected.append(try await Collected(alone.engine.submit(request)))
        }
        for round in 0..<3 {
            var streams: [GenerationStream] = []
            for index in 0..<6 {
                let request = try demo.request(
                    "The number \(index) said", temperature: 0.8, maximumTokens: 120 + 20 * index,
                    seed: UInt64(index))
                streams.append(try demo.engine.submit(request))
            }
            if round == 1 { streams[3].cancel() }
            for (index, stream) in streams.enumerated() where round != 1 || index != 3 {
                expectSame(try await Collected(stream), expected[index])
            }
        }
        // Nothing stayed taken: a prompt that fills the whole cache still fits.
        let whole = try await Collected(demo.engine.submit(demo.longPrompt(256)))
        #expect(whole.completion?.usage.completionTokens == 1)
    }

    /// With the machine's other load, so the best of some attempts counts.
    @Test func aLongPromptLeavesRunningAnswersHalfTheirSpeed() async throws {
        let demo = try DemoEngine(endTokens: [])
        func rate(during body: () async throws -> Void) async throws -> Double {
            let before = demo.engine.status().totals.completionTokens
            let duration = try await ContinuousClock().measure { try await body() }
            return Double(demo.engine.status().totals.completionTokens - before) / (duration / .seconds(1))
        }
        var best = 0.0
        for attempt in 0..<5 where best < 0.5 {
            let running = try demo.engine.submit(demo.endlessRequest())
            try await demo.wait { if case .decode(let count) = $0.activity { count > 20 } else { false } }
            let before = try await rate { try await Task.sleep(for: .milliseconds(40)) }
            let prompt = try demo.longPrompt(700, "\(attempt). ")
            let beside = try await rate { _ = try await Collected(demo.engine.submit(prompt)) }
            // The longer an answer is, the more it costs a token.
            let after = try await rate { try await Task.sleep(for: .milliseconds(40)) }
            #expect(demo.engine.status().runningCount == 1, "it ran all the time")
            best = max(best, beside / ((before + after) / 2))
            running.cancel()
            try await demo.wait { $0.activity == .idle }
        }
        print("an answer beside a long prompt runs at \(Int(best * 100)) % of its speed")
        #expect(best >= 0.5)
    }

    @Test func aNeighbourThatIsCancelledIsGoneSoon() async throws {
        let demo = try DemoEngine(endTokens: [], sequences: 4)
        var best = Duration.seconds(1000)
        let others = try (0..<3).map { _ in try demo.engine.submit(demo.endlessRequest()) }
        for _ in 0..<5 where best >= .milliseconds(250) {
            let stream = try demo.engine.submit(demo.endlessRequest())
            try await demo.wait { $0.runningCount == 4 }
            let start = ContinuousClock.now
            stream.cancel()
            try await demo.wait { $0.runningCount == 3 }
            best = min(best, ContinuousClock.now - start)
        }
        #expect(best < .milliseconds(250))
        for stream in others { stream.cancel() }
    }
}

import ExpertPaging
import TestSupport
import Testing

@Suite struct ReplayTests {
    /// Recorded routing and the hit rates that the policy is known to reach with it, in percent, at 3, 6.25, 12.5, 25, 37.5
    /// and 50 % of the experts.
    struct Recording: CustomTestStringConvertible {
        let file: String
        let hitRates: [Double]

        var testDescription: String { file }

        static let fractions = [0.03, 0.0625, 0.125, 0.25, 0.375, 0.5]
        static let all = [
            Recording(file: "kimi.jsonl", hitRates: [34.9, 48.1, 60.4, 75.2, 84.7, 90.7]),
            Recording(file: "olmoe.jsonl", hitRates: [14.0, 28.4, 45.2, 62.3, 73.8, 82.9]),
            Recording(file: "qwen.csv", hitRates: [28.6, 46.2, 66.2, 86.0, 94.8, 96.4]),
            Recording(file: "gemma.csv", hitRates: [29.1, 46.2, 66.1, 83.1, 92.9, 96.4]),
            Recording(file: "gptoss.csv", hitRates: [37.8, 54.6, 70.8, 81.3, 81.7, 81.7]),
        ]
    }

    @Test(.enabled(if: SharedData.exists, "\(SharedData.reason)"), arguments: Recording.all)
    func recordedRoutingHitsAsOftenAsIsKnown(_ recording: Recording) throws {
        let replay = Replay(try RoutingTrace(path: "\(SharedData.directory)/data/traces/\(recording.file)"))
        for (fraction, expected) in zip(Recording.fractions, recording.hitRates) {
            let slotCount = replay.slotCount(fraction: fraction)
            let outcome = replay.run(slotCount: slotCount)
            #expect(abs(100 * outcome.hitRate - expected) < 0.06, "at \(fraction)")
            let recent = replay.runLeastRecentlyUsed(slotCount: slotCount)
            #expect(outcome.hitRate > recent.hitRate - 0.005, "at \(fraction)")
        }
    }

    @Test(
        .enabled(if: SharedData.exists, "\(SharedData.reason)"), arguments: ["qwen.csv", "gemma.csv"])
    func aQuarterOfWhatTheFutureWouldGainIsGained(file: String) throws {
        let replay = Replay(try RoutingTrace(path: "\(SharedData.directory)/data/traces/\(file)"))
        let slotCount = replay.slotCount(fraction: 0.125)
        let recent = replay.runLeastRecentlyUsed(slotCount: slotCount).hitRate
        let optimum = replay.runOptimum(slotCount: slotCount).hitRate
        #expect(replay.run(slotCount: slotCount).hitRate >= recent + (optimum - recent) / 4)
    }

    @Test(arguments: SyntheticRouting.known.map(\.name))
    func madeUpRoutingHasNoCliffAndLosesNothing(name: String) throws {
        let parameters = try #require(SyntheticRouting.known.first { $0.name == name }).parameters
        let replay = Replay(try parameters.trace(tokenCount: 120, seed: 3))
        var earlier = 0.0
        for step in 1...12 {
            let slotCount = replay.slotCount(fraction: Double(step) * 0.04)
            let hitRate = replay.run(slotCount: slotCount).hitRate
            #expect(hitRate > replay.runLeastRecentlyUsed(slotCount: slotCount).hitRate - 0.005, "\(slotCount) slots")
            // The first few slots are worth something already, and more never lose more than noise.
            #expect(hitRate > 0.1, "\(slotCount) slots")
            #expect(hitRate > earlier - 0.005, "\(slotCount) slots")
            earlier = hitRate
        }
        let slotCount = replay.slotCount(fraction: 0.25)
        #expect(replay.runOptimum(slotCount: slotCount).hitRate > replay.run(slotCount: slotCount).hitRate)
    }

    /// What was used before a change of subject must be forgotten faster than by steady decay.
    @Test(arguments: SyntheticRouting.known.map(\.name))
    func changesOfSubjectAreNoticed(name: String) throws {
        var parameters = try #require(SyntheticRouting.known.first { $0.name == name }).parameters
        parameters.topicLength = 100
        let replay = Replay(try parameters.trace(tokenCount: 250, seed: 3))
        var steady = ExpertPolicy.Tuning()
        steady.haste = 1
        let slotCount = replay.slotCount(fraction: 0.25)
        let hitRate = replay.run(slotCount: slotCount).hitRate
        #expect(hitRate > replay.run(slotCount: slotCount, tuning: steady).hitRate + 0.003)
        #expect(hitRate > replay.runLeastRecentlyUsed(slotCount: slotCount).hitRate - 0.05)
    }

    @Test func everyExpertInMemoryMissesOnceAtMost() throws {
        let parameters = try #require(SyntheticRouting.known.first { $0.name == "olmoe" }).parameters
        let trace = try parameters.trace(tokenCount: 50, seed: 1)
        let replay = Replay(trace, warmUp: 0)
        let distinct = (0..<trace.layerCount).reduce(0) { sum, layer in
            sum + Set(trace.tokens.flatMap { $0[layer] }).count
        }
        for outcome in [
            replay.run(slotCount: trace.expertCount), replay.runOptimum(slotCount: trace.expertCount),
            replay.runLeastRecentlyUsed(slotCount: trace.expertCount),
        ] {
            #expect(outcome.useCount - outcome.hitCount == distinct)
            #expect(outcome.useCount == 50 * trace.layerCount * trace.expertsPerToken)
        }
    }

    @Test func theSameSeedMakesTheSameRouting() throws {
        let parameters = SyntheticRouting.known[1].parameters
        #expect(try parameters.trace(tokenCount: 5, seed: 1) == parameters.trace(tokenCount: 5, seed: 1))
        #expect(try parameters.trace(tokenCount: 5, seed: 1) != parameters.trace(tokenCount: 5, seed: 2))
    }

    @Test func tablesLeaveOutThePromptsTokens() throws {
        let text = """
            # model=x n_expert=16
            turn,phase,step,layer,slot,expert,weight,residency,expert_bytes
            0,0,0,0,0,9,0.5,0,1
            0,1,1,0,0,3,0.5,0,1
            0,1,1,0,1,1,0.5,0,1
            0,1,1,1,0,15,0.5,0,1
            0,1,2,1,0,2,0.5,0,1
            """
        let trace = try RoutingTrace(text: Array(text.utf8))
        #expect(trace.tokens == [[[3, 1], [15]], [[], [2]]])
        #expect(trace.expertsPerLayer == 16)
        #expect(trace.expertsPerToken == 2)
    }

    @Test(arguments: [
        "", "{}", "{\"layers\": [[1,1]]}", "{\"layers\": [[1],[2]]}\n{\"layers\": [[-1],[2]]}",
        "{\"layers\": [[99999999]]}", "phase,turn,step,layer\n1,0,0,0", "turn,phase,step,layer,expert\n0,1,0,0,x",
        "turn,phase,step,layer,expert\n0,1,0,0", "turn,phase,step,layer,expert\n0,1,0,-1,0",
        "turn,phase,step,layer,expert\n0,1,0,99999999999,0", "# n_expert=0\nturn,phase,step,layer,expert\n0,1,0,0,0",
        "turn,phase,step,layer,expert", "\u{0}\u{1}",
    ])
    func whatIsNoTraceIsRefused(text: String) {
        #expect(throws: RoutingTraceError.self) { try RoutingTrace(text: Array(text.utf8)) }
    }
}

import Compute
import Model
import Quantizer
import Testing

@Suite struct SpeedTests {
    /// The floor is far below what a quiet machine does, because other tests run at the same time; the best of several
    /// bursts counts.
    @Test func theDemoDecodesFasterThanItIsRead() throws {
        let model = try load(.demo, .int4, context: 512, cacheFormat: .bf16, threads: min(2, ThreadCount.available))
        let state = try model.makeState()
        try model.prefill(Golden(.demo).tokens[...], state: state)
        let burst = 25
        var best = Duration.seconds(1000)
        for _ in 0..<12 {
            let duration = try ContinuousClock().measure {
                for _ in 0..<burst { try model.decode(100, state: state) }
            }
            best = min(best, duration)
        }
        let rate = Double(burst) / (best / .seconds(1))
        print("the demo decodes \(Int(rate)) tokens/s in int4")
        #expect(rate >= 300)
    }
}

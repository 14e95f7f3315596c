import Compute
import Testing

@Suite("What the machine can do")
struct LimitTests {
    @Test("Reading gives the sum of all words, so that nothing can be left out", arguments: [256, 4096, 65_792])
    func read(byteCount: Int) {
        var expected: UInt64 = 0
        let words = (0..<byteCount / 8).map { UInt64($0) &* 0x9e37_79b9_7f4a_7c15 }
        for word in words { expected &+= word }
        #expect(words.withUnsafeBytes(Kernels.read) == expected)
    }

    @Test("Multiply-adds are counted by the round, and take time", arguments: Kernels.available.map(\.name))
    func multiplyAdds(name: String) throws {
        let kernels = try #require(Kernels.named(name))
        let few = kernels.spendMultiplyAdds(rounds: 1000)
        #expect(few > 0)
        let clock = ContinuousClock()
        var count = 0
        let duration = clock.measure { count = kernels.spendMultiplyAdds(rounds: 1_000_000) }
        #expect(count == 1000 * few)
        // A core's matrix unit does four thousand in a nanosecond: if the compiler had left them out, it would seem more.
        #expect(Double(count) / (duration / .nanoseconds(1)) < 20_000)
    }
}

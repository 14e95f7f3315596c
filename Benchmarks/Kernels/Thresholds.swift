import Benchmark
import Compute

/// What is committed.
extension Verdict {
    static func decoding(_ kernels: Kernels, _ table: CodeTable, share: Double) -> Verdict {
        Verdict(
            name: "\(kernels.name), \(table), 1 token", ratio: share, meaning: "of the read bandwidth",
            threshold: .atLeast(0.6))
    }

    /// 48 tokens: what an expert gets of a chunk.
    static func manyTokens(_ kernels: Kernels, _ table: CodeTable, share: Double) -> Verdict {
        // AVX2 takes three instructions for signed bytes where the peak counts one, and AMX spends its time on the
        // groups' scales, which are vectors' work.
        let least =
            switch (kernels.name, table) {
            case ("amx", _): 0.06
            case ("avx2", .linear): 0.35
            case ("avx2", _): 0.2
            case ("avx512vnni", _): 0.4
            default: 0.3
            }
        return Verdict(
            name: "\(kernels.name), \(table), 48 tokens", ratio: share, meaning: "of the int8 peak",
            threshold: .atLeast(least))
    }

    static func tiles(_ ratio: Double) -> Verdict {
        Verdict(
            name: "amx, 48 tokens", ratio: ratio, meaning: "times avx512vnni's speed", threshold: .atLeast(1))
    }
}

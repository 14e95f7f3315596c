import Benchmark
import Compute
import Container

/// The whole step, against the machine's limits and against the scalar kernels.
enum StepBenchmarks {
    /// A token that reads less may find its weights in a cache.
    private static let leastByteCount = 500e6
    /// AMX has eight times the peak of vectors, which fold the sums of its groups, and of a prompt an expert gets few tokens.
    private static let leastPeakShare = Kernels.best.name == "amx" ? 0.035 : 0.25

    static func run(_ container: ContainerReader) throws -> [Verdict] {
        var options = BenchmarkOptions(kernels: .best)
        options.prefillLengths = [512]
        options.decodeDepths = [0]
        options.repetitionCount = 3
        let report = try Benchmark(container: container, options: options).run()
        print(report.text)
        guard let prefill = report.results.first, let decode = report.results.last, report.results.count == 2 else {
            return []
        }
        guard report.cost.decode(count: 1, depth: 0).byteCount < leastByteCount else {
            return [
                Verdict(
                    name: "decoding", ratio: decode.bandwidthShare, meaning: "of the read bandwidth",
                    threshold: .atLeast(0.85)),
                Verdict(
                    name: "prefill of 512 tokens", ratio: prefill.peakShare, meaning: "of the int8 peak",
                    threshold: .atLeast(leastPeakShare)),
            ]
        }
        guard let scalar = Kernels.named("scalar"), Kernels.best.name != scalar.name else { return [] }
        options.kernels = scalar
        options.repetitionCount = 2
        let slow = try Benchmark(container: container, options: options).run()
        guard let slowPrefill = slow.results.first, let slowDecode = slow.results.last else { return [] }
        return [
            Verdict(
                name: "decoding", ratio: decode.tokensPerSecond / slowDecode.tokensPerSecond,
                meaning: "times the scalar kernels' speed", threshold: .atLeast(4)),
            Verdict(
                name: "prefill of 512 tokens", ratio: prefill.tokensPerSecond / slowPrefill.tokensPerSecond,
                meaning: "times the scalar kernels' speed", threshold: .atLeast(4)),
        ]
    }
}

import Compute

/// What all threads together can do, measured beside what is compared with it.
struct Limits: CustomStringConvertible {
    let bytesPerSecond: Double
    let operationsPerSecond: Double

    init(_ kernels: Kernels, _ matrices: Matrices, _ threads: ThreadPool) {
        let memory = matrices.memory
        let pieces = 64 * threads.threadCount
        let size = memory.byteCount / pieces / 256 * 256
        let reading = bestDuration {
            threads.forEach(pieces) { piece in
                let part = unsafe UnsafeRawBufferPointer(start: memory.base + piece * size, count: size)
                _ = unsafe Kernels.read(part)
            }
        }
        bytesPerSecond = Double(size * pieces) / reading
        let rounds = 2_000_000
        var count = 0
        let multiplying = bestDuration {
            threads.forEach(threads.threadCount) { thread in
                let done = kernels.spendMultiplyAdds(rounds: rounds)
                if thread == 0 { count = done }
            }
        }
        operationsPerSecond = Double(count * threads.threadCount) / multiplying
    }

    var description: String {
        "reads \(gigas(bytesPerSecond)) GB/s and multiplies \(gigas(operationsPerSecond)) G int8 pairs a second"
    }

    func share(ofBandwidth value: Double) -> String {
        "\(gigas(value)) GB/s, \(percent(value / bytesPerSecond)) of the bandwidth"
    }

    func share(ofPeak value: Double) -> String {
        "\(gigas(value)) G/s, \(percent(value / operationsPerSecond)) of the peak"
    }

    private func gigas(_ value: Double) -> String { "\((value / 1e8).rounded() / 10)" }
    private func percent(_ value: Double) -> String { "\(Int((value * 100).rounded())) %" }
}

/// The shortest of five, in seconds.
func bestDuration(_ body: () -> Void) -> Double {
    let clock = ContinuousClock()
    return (0..<5).map { _ in clock.measure(body) / .seconds(1) }.min() ?? 0
}

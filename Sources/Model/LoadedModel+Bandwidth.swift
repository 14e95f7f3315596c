import Compute
import Synchronization

extension LoadedModel {
    /// How fast all threads together read the dense weights, in bytes a second: the best of a few passes. Where the caches
    /// hold them all it says more than that.
    package func measureReadBandwidth() -> Double {
        let pieceByteCount = 1 << 20
        let pieces = weights.memory.byteCount / pieceByteCount
        guard pieces > 0 else { return .infinity }
        let base = unsafe weights.memory.base
        let sum = Atomic<UInt64>(0)
        var best = 0.0
        for _ in 0..<3 {
            let duration = ContinuousClock().measure {
                forEach(pieces, work: pieces * pieceByteCount) { piece in
                    let bytes = unsafe UnsafeRawBufferPointer(
                        start: base + piece * pieceByteCount, count: pieceByteCount)
                    unsafe sum.wrappingAdd(Kernels.read(bytes), ordering: .relaxed)
                }
            }
            best = max(best, Double(pieces * pieceByteCount) / max(duration / .seconds(1), 1e-9))
        }
        return best
    }
}

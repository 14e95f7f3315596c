package import Compute
import Glibc
import Synchronization

/// Measures what the machine can do with a model's number of threads: each time it is asked, and the best counts, because
/// whatever else runs on the machine only takes away.
package final class LimitProbe {
    private let kernels: Kernels
    private let pool: ThreadPool
    private let buffer: AlignedMemory
    private var best: MachineLimits

    /// What the buffer has where the machine has the memory: twice the largest caches of today's servers.
    package static let defaultByteCount = 1 << 30

    /// - Parameter byteCount: of the buffer that is read; rounded down to whole MiB, at least one.
    package init(kernels: Kernels, threadCount: Int, byteCount: Int = defaultByteCount) throws(ComputeError) {
        self.kernels = kernels
        pool = ThreadPool(threadCount: threadCount)
        let pieces = max(byteCount / Self.pieceByteCount, 1)
        buffer = try AlignedMemory(byteCount: pieces * Self.pieceByteCount, wantsHugePages: true)
        best = MachineLimits(
            readBandwidth: 0, multiplyAddRate: 0, bufferByteCount: buffer.byteCount,
            cacheByteCount: Self.cacheByteCount)
        // The pages are of the kind that weights get. Those that nobody has written to are all the same one.
        let base = unsafe buffer.base
        pool.forEach(pieces) { piece in
            unsafe (base + piece * Self.pieceByteCount).initializeMemory(
                as: UInt8.self, repeating: UInt8(truncatingIfNeeded: piece | 1), count: Self.pieceByteCount)
        }
    }

    /// The best so far, after measuring `passes` more times.
    package func measure(passes: Int = 3) -> MachineLimits {
        for _ in 0..<passes {
            best.readBandwidth = max(best.readBandwidth, readOnce())
            best.multiplyAddRate = max(best.multiplyAddRate, multiplyOnce())
        }
        return best
    }

    private static let pieceByteCount = 1 << 20

    private static var cacheByteCount: Int? {
        let levels = [_SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL4_CACHE_SIZE]
        return levels.map { sysconf(Int32($0)) }.filter { $0 > 0 }.max()
    }

    /// Bytes a second.
    private func readOnce() -> Double {
        let base = unsafe buffer.base
        let checksum = Atomic<UInt64>(0)
        let duration = ContinuousClock().measure {
            pool.forEach(buffer.byteCount / Self.pieceByteCount) { piece in
                let bytes = unsafe UnsafeRawBufferPointer(
                    start: base + piece * Self.pieceByteCount, count: Self.pieceByteCount)
                unsafe checksum.wrappingAdd(Kernels.read(bytes), ordering: .relaxed)
            }
        }
        return Double(buffer.byteCount) / duration.seconds
    }

    /// Multiply-adds a second, over a hundred items of about a millisecond each.
    private func multiplyOnce() -> Double {
        let rounds = 60_000
        let done = Atomic<Int>(0)
        let duration = ContinuousClock().measure {
            pool.forEach(50 * pool.threadCount) { _ in
                done.wrappingAdd(kernels.spendMultiplyAdds(rounds: rounds), ordering: .relaxed)
            }
        }
        return Double(done.load(ordering: .relaxed)) / duration.seconds
    }
}

extension Duration {
    /// Never zero, so that it can divide.
    var seconds: Double { max(self / .seconds(1), 1e-9) }
}

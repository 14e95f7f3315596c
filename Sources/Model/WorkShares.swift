import Synchronization

/// Divides units of work that stand one after the other in memory among threads.
///
/// Every thread has a share and works through it from the front: memory is fastest when it is read without a jump. Who
/// has done his own takes from the back of another's, in pieces that get smaller, so that all end together.
@safe final class WorkShares: @unchecked Sendable {
    // @unchecked: the pointer never changes, and what it points to is atomic.

    private let threadCount: Int
    private var grain = 1
    /// [threads], a cache line each: begin in the upper and end in the lower 32 bits.
    private let shares: UnsafeMutablePointer<Atomic<UInt64>>

    private static let stride = 8
    /// Pieces of a share that nobody helps with.
    private static let piecesPerShare = 16

    init(threadCount: Int) {
        self.threadCount = threadCount
        unsafe shares = .allocate(capacity: threadCount * Self.stride)
        for index in 0..<threadCount * Self.stride { unsafe (shares + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe shares.deinitialize(count: threadCount * Self.stride)
        unsafe shares.deallocate()
    }

    /// Divides 0 ..< units anew. Nobody may be taking.
    func divide(_ units: Int) {
        grain = max(1, units / (threadCount * Self.piecesPerShare))
        for thread in 0..<threadCount {
            let share = units * thread / threadCount..<units * (thread + 1) / threadCount
            unsafe shares[thread * Self.stride].store(Self.packed(share), ordering: .relaxed)
        }
    }

    /// The next piece for a thread; nil when all is taken.
    func take(_ thread: Int) -> Range<Int>? {
        for offset in 0..<threadCount {
            let place = unsafe shares + (thread + offset) % threadCount * Self.stride
            var seen = unsafe place.pointee.load(ordering: .relaxed)
            while true {
                let left = Self.unpacked(seen)
                guard !left.isEmpty else { break }
                let size = max(1, min(grain, left.count / 4))
                let piece =
                    offset == 0
                    ? left.lowerBound..<left.lowerBound + size : left.upperBound - size..<left.upperBound
                let rest =
                    offset == 0 ? piece.upperBound..<left.upperBound : left.lowerBound..<piece.lowerBound
                let result = unsafe place.pointee.weakCompareExchange(
                    expected: seen, desired: Self.packed(rest), ordering: .relaxed)
                if result.exchanged { return piece }
                seen = result.original
            }
        }
        return nil
    }

    private static func packed(_ range: Range<Int>) -> UInt64 {
        UInt64(UInt32(truncatingIfNeeded: range.lowerBound)) << 32
            | UInt64(UInt32(truncatingIfNeeded: range.upperBound))
    }

    private static func unpacked(_ bits: UInt64) -> Range<Int> { Int(bits >> 32)..<Int(bits & 0xffff_ffff) }
}

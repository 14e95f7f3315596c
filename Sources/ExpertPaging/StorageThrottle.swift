import Glibc
import Synchronization

/// Makes reads take as long as storage of a given speed would need for them, all lanes together.
package final class StorageThrottle: Sendable {
    private let bytesPerSecond: Int
    /// When the storage would have done everything that was asked of it.
    private let isFree = Mutex(ContinuousClock.now)

    package init(bytesPerSecond: Int) { self.bytesPerSecond = bytesPerSecond }

    /// What makes the lanes of a store wait.
    package var observer: ReadObserver { { _, range in self.hold(range.count) } }

    /// Returns when the storage would have delivered `byteCount` bytes more.
    private func hold(_ byteCount: Int) {
        let duration = Duration.seconds(Double(byteCount) / Double(bytesPerSecond))
        let end = isFree.withLock { isFree in
            isFree = max(isFree, .now) + duration
            return isFree
        }
        while true {
            let left = ContinuousClock.now.duration(to: end) / .microseconds(1)
            guard left >= 1 else { return }
            usleep(UInt32(min(left, 100_000)))
        }
    }
}

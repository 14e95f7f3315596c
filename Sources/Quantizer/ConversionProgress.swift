import Synchronization

/// How far a conversion is; written by its threads, read by whoever shows it.
package final class ConversionProgress: Sendable {
    package enum Phase: Int, Sendable {
        /// Reading a container to see whether it is sound.
        case verifying = -4
        /// Making a container's contents again to see whether they are the same.
        case comparing = -3
        case repairing = -2
        /// Making random weights.
        case synthesizing = -1
        case converting
        /// Computing the sources' checksums.
        case hashing
        case finishing
    }

    /// Bytes of the checkpoint to be converted.
    package let totalByteCount: Int
    /// Bytes of the checkpoint's files, which are read once more for their checksums.
    package let hashByteCount: Int
    private let converted = Atomic(0)
    private let hashed = Atomic(0)
    private let stage: Atomic<Int>

    package init(totalByteCount: Int, hashByteCount: Int, phase: Phase = .converting) {
        stage = Atomic(phase.rawValue)
        self.totalByteCount = totalByteCount
        self.hashByteCount = hashByteCount
    }

    package var convertedByteCount: Int { converted.load(ordering: .relaxed) }
    package var hashedByteCount: Int { hashed.load(ordering: .relaxed) }
    package var phase: Phase { Phase(rawValue: stage.load(ordering: .relaxed)) ?? .converting }

    package func advance(_ byteCount: Int) { converted.add(byteCount, ordering: .relaxed) }
    func advanceHash(_ byteCount: Int) { hashed.add(byteCount, ordering: .relaxed) }
    func enter(_ phase: Phase) { stage.store(phase.rawValue, ordering: .relaxed) }
}

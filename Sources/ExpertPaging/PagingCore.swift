import Compute
import Container
import Synchronization

/// What the engine's thread and the lanes share. Lanes keep it alive, not the store, so that dropping the store can
/// stop them.
final class PagingCore: @unchecked Sendable {
    // Sendable: what is `var` is touched only while `monitor` is locked; everything else is constant or atomic. A slot's
    // bytes are written by the one lane that is reading it and read only by its holders once it is ready, and the
    // monitor orders the two.
    let container: ContainerReader
    let records: [ExpertRecord]
    let arena: AlignedMemory
    /// [slots]: offset in the arena.
    let slotOffsets: [Int]

    let monitor = Monitor()
    let workArrived = Monitor.Condition()
    let readEnded = Monitor.Condition()
    var table: SlotTable
    /// [experts]: whether its checksum was found right once.
    var verified: [Bool]
    /// [layers]: experts asked for, and how many of them were in memory.
    var layerUses: [UInt64]
    var layerHits: [UInt64]
    var isStopping = false
    /// Experts to read while nothing is asked for, the hottest last.
    var guesses: [Int32] = []
    /// When the last experts were asked for; kept up only while there are guesses.
    var lastDemand = ContinuousClock.now

    /// How long nothing must have been asked for until guesses are read: longer than a token takes on slow machines
    /// between two layers, so that no answer waits behind one.
    static let idleMilliseconds = 250

    let hits = Atomic<UInt64>(0)
    let misses = Atomic<UInt64>(0)
    let evictions = Atomic<UInt64>(0)
    let reads = Atomic<UInt64>(0)
    let failures = Atomic<UInt64>(0)
    let bytesRead = Atomic<UInt64>(0)
    let readNanoseconds = Atomic<UInt64>(0)
    let stallNanoseconds = Atomic<UInt64>(0)
    let guessedReads = Atomic<UInt64>(0)
    let substitutions = Atomic<UInt64>(0)
    let drops = Atomic<UInt64>(0)

    init(
        container: ContainerReader, records: [ExpertRecord], arena: AlignedMemory, slotOffsets: [Int], table: SlotTable,
        layerCount: Int
    ) {
        self.container = container
        self.records = records
        self.arena = arena
        self.slotOffsets = slotOffsets
        self.table = table
        verified = Array(repeating: false, count: records.count)
        layerUses = Array(repeating: 0, count: layerCount)
        layerHits = layerUses
    }

    func address(of slot: Int) -> UnsafeMutableRawPointer {
        unsafe arena.base + slotOffsets[slot]
    }

    /// A lane's whole life: takes the oldest read, does it, and sleeps when there is none.
    func runLane(scratch: AlignedMemory?) {
        monitor.lock()
        while true {
            guard !isStopping else { break }
            guard let (slot, expert) = table.takeRead() ?? takeGuess() else {
                if guesses.isEmpty {
                    workArrived.wait(in: monitor)
                } else {
                    workArrived.wait(in: monitor, milliseconds: Self.idleMilliseconds)
                }
                continue
            }
            let mustVerify = !verified[expert]
            monitor.unlock()
            let failure = read(expert, into: slot, scratch: scratch, verify: mustVerify)
            monitor.lock()
            if failure == nil { verified[expert] = true }
            table.finishRead(slot, failure: failure)
            readEnded.broadcast()
        }
        monitor.unlock()
    }

    /// The next guess worth reading, with the monitor locked.
    private func takeGuess() -> (slot: Int, expert: Int)? {
        guard !guesses.isEmpty, lastDemand.duration(to: .now) >= .milliseconds(Self.idleMilliseconds) else {
            return nil
        }
        while let expert = guesses.popLast() {
            guard let slot = table.takeGuess(Int(expert)) else { continue }
            guessedReads.add(1, ordering: .relaxed)
            return (slot, Int(expert))
        }
        return nil
    }

    private func read(_ expert: Int, into slot: Int, scratch: AlignedMemory?, verify: Bool) -> PagingError? {
        let record = records[expert]
        let start = ContinuousClock.now
        defer {
            reads.add(1, ordering: .relaxed)
            readNanoseconds.add(start.nanosecondsUntilNow, ordering: .relaxed)
        }
        do {
            let buffer = unsafe UnsafeMutableRawBufferPointer(start: scratch?.base, count: scratch?.byteCount ?? 0)
            unsafe try container.readExpert(record, into: address(of: slot), scratch: buffer, verify: verify)
            bytesRead.add(UInt64(record.storedByteCount), ordering: .relaxed)
            return nil
        } catch {
            failures.add(1, ordering: .relaxed)
            return .unreadable(record, cause: error)
        }
    }
}

extension ContinuousClock.Instant {
    var nanosecondsUntilNow: UInt64 {
        let duration = duration(to: .now)
        return UInt64(max(0, duration.components.seconds)) * 1_000_000_000
            + UInt64(max(0, duration.components.attoseconds)) / 1_000_000_000
    }
}

import Compute

/// An arena that shrinks while memory is short: fewer slots are used, and the memory of the others is the machine's.
///
/// Answers don't depend on it, only their speed does.
extension ExpertStore {
    /// Slots that may be used at present: `slotCount`, or fewer.
    package var usableSlotCount: Int {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        return core.table.usableCounts.reduce(0, +)
    }

    /// Bytes of the slots that may be used, and how many of them hold no expert yet: those may still be taken from
    /// the machine.
    package var usableByteCounts: (all: Int, unoccupied: Int) {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        let all = zip(core.table.usableCounts, shape.classes).reduce(0) { $0 + $1.0 * $1.1.slotByteCount }
        let unoccupied = zip(core.table.free, shape.classes).reduce(0) { $0 + $1.0.count * $1.1.slotByteCount }
        return (all, unoccupied)
    }

    /// Experts that were evicted for the arena to shrink, since the start.
    package var shrinkEvictionCount: UInt64 {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        return core.capacity.evictedCount
    }

    /// The most tickets that may be held at a time.
    package var leaseLimit: Int {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        return leaseLimitLocked
    }

    /// `leaseLimit`, which holds until `endLeases` whatever becomes of the arena meanwhile: for the engine, which
    /// divides a layer's experts by it.
    package func beginLeases() -> Int {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        core.capacity.promisedLeases = leaseLimitLocked
        core.capacity.awaitedBefore = core.table.awaitedCount
        return core.capacity.promisedLeases
    }

    package func endLeases() {
        core.monitor.lock()
        core.capacity.promisedLeases = 0
        core.monitor.unlock()
    }

    var leaseLimitLocked: Int {
        let unforeseen = max(core.spareBusyCount - core.limits.spareLanes, 0)
        return max(core.limits.leases - core.table.awaitedCount - unforeseen, 1)
    }

    /// Uses `wanted` slots from now on: at least `shape.leastSlotCount`, at most `slotCount`.
    ///
    /// The memory of slots that go out of use is given back here, on the caller's thread; the engine and the lanes wait
    /// only while the slots are chosen. Slots whose experts are held, and those that a layer counts on, stay until they are
    /// let go of: true is returned when nothing of the kind is left, and otherwise the same call is to be made again a
    /// little later. One thread at a time calls it.
    @discardableResult
    package func use(slots wanted: Int) -> Bool {
        guard let target = shape.slotCounts(total: min(max(wanted, shape.leastSlotCount), slotCount)) else {
            return true
        }
        core.monitor.lock()
        if core.capacity.target != target {
            core.capacity.target = target
            core.table.divide(target)
            core.limits = LeaseLimits(shape: shape, slotCounts: target, laneCount: core.laneCount)
        }
        var given: [(sizeClass: Int, slots: [Int32])] = []
        var isDone = true
        for sizeClass in target.indices {
            let missing = target[sizeClass] - core.table.usableCounts[sizeClass]
            if missing > 0 {
                let back = core.capacity.retired[sizeClass].suffix(missing)
                core.table.reinstate(back)
                core.capacity.retired[sizeClass].removeLast(back.count)
            } else if missing < 0 {
                let floor = core.capacity.floor(ofClass: sizeClass, laneCount: core.laneCount)
                let (slots, evictedCount) = core.table.retire(
                    max(core.table.usableCounts[sizeClass] - floor, 0), ofClass: sizeClass)
                core.capacity.evictedCount += UInt64(evictedCount)
                given.append((sizeClass, slots))
                isDone = isDone && core.table.usableCounts[sizeClass] == target[sizeClass]
            }
        }
        core.monitor.unlock()

        for (sizeClass, slots) in given {
            for slot in slots {
                core.kept?.clear(Int(slot))
                core.kept?.setHuge(Int(slot), false)
                core.arena.giveBack(
                    at: core.slotOffsets[Int(slot)], byteCount: shape.classes[sizeClass].slotByteCount)
            }
        }
        core.monitor.lock()
        for (sizeClass, slots) in given { core.capacity.retired[sizeClass] += slots }
        core.monitor.unlock()
        return isDone
    }
}

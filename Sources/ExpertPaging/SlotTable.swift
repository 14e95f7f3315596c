/// Which expert is in which slot, who holds it, and which reads are to be done: the store's state machine, without
/// threads, memory or I/O.
///
///     free ──▶ queued ──▶ reading ──▶ ready ──▶ free (evicted)
///                │            └─────▶ failed ─▶ free (last holder let go)
///                └──▶ free (last holder let go)
///
/// Free slots may be retired, and reinstated later.
struct SlotTable {
    enum Phase {
        case free
        /// In the queue; no lane has it yet.
        case queued
        /// A lane is filling it. It stays taken until the lane is done, whoever lets go meanwhile.
        case reading
        case ready
        /// Its read failed; it belongs to no expert any more, only to those who wait.
        case failed(PagingError)
        /// Its memory isn't to be used for now.
        case retired
    }

    struct Slot {
        let sizeClass: Int
        var expert: Int32 = -1
        var holderCount: Int32 = 0
        var phase = Phase.free
        /// When a lane began to fill it.
        var readStart = ContinuousClock.now
        /// Neighbours in the queue, -1 at its ends.
        var next: Int32 = -1
        var previous: Int32 = -1
    }

    var slots: [Slot] = []
    /// [experts]
    var slotOfExpert: [Int32]
    /// [size classes]: stacks of free slots.
    var free: [[Int32]]
    /// [size classes]: slots that aren't retired.
    var usableCounts: [Int]
    let sizeClasses: [UInt8]
    let expertsPerToken: Int
    var policy: ExpertPolicy
    private var queueHead: Int32 = -1
    private var queueTail: Int32 = -1
    var residentCount = 0
    /// Experts whose last read failed.
    private(set) var unreadable: [Int32: PagingError] = [:]

    /// `sizeClasses`: one entry an expert, layer after layer. `slotCounts`: one a size class; slots are numbered class by
    /// class.
    init(
        sizeClasses: [UInt8], expertsPerLayer: Int, slotCounts: [Int], expertsPerToken: Int,
        tuning: ExpertPolicy.Tuning = .init()
    ) {
        self.sizeClasses = sizeClasses
        self.expertsPerToken = expertsPerToken
        usableCounts = slotCounts
        slotOfExpert = Array(repeating: -1, count: sizeClasses.count)
        policy = ExpertPolicy(
            sizeClasses: sizeClasses, expertsPerLayer: expertsPerLayer, slotCounts: slotCounts,
            expertsPerToken: expertsPerToken, tuning: tuning)
        free = slotCounts.map { _ in [] }
        slots.reserveCapacity(slotCounts.reduce(0, +))
        for (sizeClass, count) in slotCounts.enumerated() {
            // The stack is turned round so that slots are first taken in their order.
            free[sizeClass] = (slots.count..<slots.count + count).reversed().map(Int32.init)
            slots += Array(repeating: Slot(sizeClass: sizeClass), count: count)
        }
    }

    // MARK: The engine's side

    /// Counts a use of the expert and holds its slot if it is in memory or on its way.
    mutating func holdIfPresent(_ expert: Int) -> Int? {
        let slot = Int(slotOfExpert[expert])
        policy.recordUse(of: expert, isResident: slot >= 0)
        guard slot >= 0 else { return nil }
        hold(slot)
        return slot
    }

    enum Placement {
        /// Somebody asked for the same expert a moment ago.
        case present(Int)
        case queued(Int, evicted: Bool)
        /// Everything is held.
        case none
    }

    /// Finds a slot for an expert that isn't in memory, evicting another if need be, and queues its read.
    mutating func place(_ expert: Int) -> Placement {
        let present = Int(slotOfExpert[expert])
        if present >= 0 {
            hold(present)
            return .present(present)
        }
        let sizeClass = Int(sizeClasses[expert])
        let slot: Int
        var evicted = false
        if let unused = free[sizeClass].popLast() {
            slot = Int(unused)
        } else if let victim = policy.takeVictim(for: expert) {
            slot = Int(slotOfExpert[victim])
            slotOfExpert[victim] = -1
            residentCount -= 1
            evicted = true
        } else {
            return .none
        }
        occupy(slot, with: expert)
        slots[slot].holderCount = 1
        slots[slot].phase = .queued
        enqueue(slot)
        return .queued(slot, evicted: evicted)
    }

    /// Gives a free slot to an expert that nobody asked for, and begins its read. nil when it is in memory already or there is no
    /// free slot: nothing is evicted for a guess.
    mutating func takeGuess(_ expert: Int) -> Int? {
        guard slotOfExpert[expert] < 0, let unused = free[Int(sizeClasses[expert])].popLast() else { return nil }
        let slot = Int(unused)
        occupy(slot, with: expert)
        slots[slot].phase = .reading
        slots[slot].readStart = .now
        return slot
    }

    mutating func restore(popularity: [Float]) { policy.restore(popularity: popularity) }

    /// Whether the expert is in memory, or a lane is about to bring it.
    func isResident(_ expert: Int) -> Bool { slotOfExpert[expert] >= 0 }

    func phase(of slot: Int) -> Phase { slots[slot].phase }

    /// Lets go of a slot that was held once more than it was let go of.
    mutating func letGo(_ slot: Int) {
        precondition(slots[slot].holderCount > 0, "an expert was released twice")
        slots[slot].holderCount -= 1
        guard slots[slot].holderCount == 0 else { return }
        switch slots[slot].phase {
        case .ready:
            policy.makeEvictable(Int(slots[slot].expert))
        case .queued:
            dequeue(slot)
            vacate(slot)
        case .failed:
            vacate(slot)
        case .reading, .free, .retired:
            break
        }
    }

    // MARK: The lanes' side

    /// The oldest read that nobody does yet.
    mutating func takeRead() -> (slot: Int, expert: Int)? {
        guard queueHead >= 0 else { return nil }
        let slot = Int(queueHead)
        dequeue(slot)
        slots[slot].phase = .reading
        slots[slot].readStart = .now
        return (slot, Int(slots[slot].expert))
    }

    /// The read of a slot has ended.
    mutating func finishRead(_ slot: Int, failure: PagingError?) {
        let isHeld = slots[slot].holderCount > 0
        if let failure {
            unreadable[slots[slot].expert] = failure
            // Whoever asks from now on reads again.
            slotOfExpert[Int(slots[slot].expert)] = -1
            policy.dismiss(Int(slots[slot].expert))
            slots[slot].expert = -1
            slots[slot].phase = .failed(failure)
            if !isHeld { vacate(slot) }
        } else {
            if !unreadable.isEmpty { unreadable[slots[slot].expert] = nil }
            residentCount += 1
            slots[slot].phase = .ready
            if !isHeld { policy.makeEvictable(Int(slots[slot].expert)) }
        }
    }

    // MARK: Details

    mutating func occupy(_ slot: Int, with expert: Int) {
        slotOfExpert[expert] = Int32(slot)
        slots[slot].expert = Int32(expert)
        policy.admit(expert)
    }

    private mutating func hold(_ slot: Int) {
        if case .ready = slots[slot].phase, slots[slot].holderCount == 0 {
            policy.makeUnevictable(Int(slots[slot].expert))
        }
        slots[slot].holderCount += 1
    }

    /// Returns a slot whose content is worthless.
    private mutating func vacate(_ slot: Int) {
        let expert = Int(slots[slot].expert)
        if expert >= 0 {
            slotOfExpert[expert] = -1
            policy.dismiss(expert)
        }
        slots[slot].expert = -1
        slots[slot].phase = .free
        free[slots[slot].sizeClass].append(Int32(slot))
    }

    private mutating func enqueue(_ slot: Int) {
        slots[slot].previous = queueTail
        slots[slot].next = -1
        if queueTail >= 0 { slots[Int(queueTail)].next = Int32(slot) } else { queueHead = Int32(slot) }
        queueTail = Int32(slot)
    }

    private mutating func dequeue(_ slot: Int) {
        let (next, previous) = (slots[slot].next, slots[slot].previous)
        if previous >= 0 { slots[Int(previous)].next = next } else { queueHead = next }
        if next >= 0 { slots[Int(next)].previous = previous } else { queueTail = previous }
    }
}

/// Which expert is in which slot, who holds it, and which reads are to be done: the store's state machine, without
/// threads, memory or I/O.
///
///     free ──▶ queued ──▶ reading ──▶ partial ──▶ ready ──▶ free (evicted)
///                │           │           └──────▶ failed ─▶ free (last holder let go)
///                └───────────┴──▶ free (last holder let go before the last part was begun)
///
/// Free slots may be retired, and reinstated later.
///
/// An expert is read in one or two parts, `gate` and `up` first. The parts of the expert that was asked for first come
/// first, and several lanes may read the parts of one expert. Experts that nobody asked for are read by one lane each, so that
/// there is never more than a slot a lane whose content nobody holds and which can't be given to another.
struct SlotTable {
    enum Phase {
        case free
        /// In the queue; no lane has begun.
        case queued
        /// Lanes are filling it. It stays taken until they are done, whoever lets go meanwhile.
        case reading
        /// `gate` and `up` are there, and nobody has compared their checksum yet.
        case partial
        case ready
        /// Its read failed; it belongs to no expert any more, only to those who wait.
        case failed(PagingError)
        /// Its memory isn't to be used for now.
        case retired
    }

    /// What a lane is to do.
    struct Read {
        let slot: Int
        let expert: Int
        /// 0, or 1 for the second of two.
        let part: Int
    }

    struct Slot {
        let sizeClass: Int
        var expert: Int32 = -1
        var holderCount: Int32 = 0
        var phase = Phase.free
        /// Parts that no lane has begun, and parts that lanes are at.
        var partsLeft: UInt8 = 0
        var partsRunning: UInt8 = 0
        /// Whether the first part is there.
        var hasFirstPart = false
        /// Brought by a prompt's chunk, which wants so many others that it isn't to stay just for that.
        var isPassing = false
        /// Whether anybody has held it since it was given its expert.
        var wasHeld = false
        /// Whether it was given its expert because that was expected, and nobody has held it yet.
        var isAhead = false
        /// Whether it is held once more for those who have stepped aside until it is read.
        var isAwaited = false
        var list = SlotLists.none
        /// When a lane began to fill it.
        var readStart = ContinuousClock.now
        /// Neighbours in the list, -1 at its ends.
        var next: Int32 = -1
        var previous: Int32 = -1
    }

    var slots: [Slot] = []
    /// [experts]
    var slotOfExpert: [Int32]
    /// [size classes]: stacks of free slots.
    var free: [[Int32]]
    let sizeClasses: [UInt8]
    /// [size classes]: experts.
    private let expertCounts: [Int]
    /// [experts]
    private let partCounts: [UInt8]
    /// Slots of a size class that prompts' chunks may go round in: those that are free are left to them.
    private let passingReserve: Int
    var policy: ExpertPolicy
    var lists: SlotLists
    var residentCount = 0
    /// Holds of experts that had been read because they were expected.
    private(set) var usedAheadCount = 0
    /// [size classes]: slots that aren't retired.
    var usableCounts: [Int]
    let expertsPerToken: Int
    /// Experts whose last read failed.
    private(set) var unreadable: [Int32: PagingError] = [:]
    /// Slots that are held for those who have stepped aside.
    var awaitedCount = 0

    /// - Parameters:
    ///   - sizeClasses: one entry an expert, layer after layer.
    ///   - slotCounts: one a size class; slots are numbered class by class.
    ///   - partCounts: 1 or 2 an expert; nil for 1 everywhere.
    ///   - passingReserve: slots that a prompt's chunk holds and expects at a time.
    init(
        sizeClasses: [UInt8], expertsPerLayer: Int, slotCounts: [Int], expertsPerToken: Int,
        partCounts: [UInt8]? = nil, passingReserve: Int = 0, tuning: ExpertPolicy.Tuning = .init()
    ) {
        self.sizeClasses = sizeClasses
        var expertCounts = Array(repeating: 0, count: slotCounts.count)
        for sizeClass in sizeClasses { expertCounts[Int(sizeClass)] += 1 }
        self.expertCounts = expertCounts
        self.passingReserve = passingReserve
        self.partCounts = partCounts ?? Array(repeating: 1, count: sizeClasses.count)
        self.expertsPerToken = expertsPerToken
        usableCounts = slotCounts
        slotOfExpert = Array(repeating: -1, count: sizeClasses.count)
        policy = ExpertPolicy(
            sizeClasses: sizeClasses, expertsPerLayer: expertsPerLayer, slotCounts: slotCounts,
            expertsPerToken: expertsPerToken, tuning: tuning)
        free = slotCounts.map { _ in [] }
        lists = SlotLists(classCount: slotCounts.count)
        slots.reserveCapacity(slotCounts.reduce(0, +))
        for (sizeClass, count) in slotCounts.enumerated() {
            // The stack is turned round so that slots are first taken in their order.
            free[sizeClass] = (slots.count..<slots.count + count).reversed().map(Int32.init)
            slots += Array(repeating: Slot(sizeClass: sizeClass), count: count)
        }
    }

    // MARK: The engine's side

    /// Holds the expert's slot if it is in memory or on its way, and counts the use unless that is done already
    /// (`recordUse`).
    mutating func holdIfPresent(_ expert: Int, counts: Bool = true, isPassing: Bool = false) -> Int? {
        let slot = Int(slotOfExpert[expert])
        if counts { policy.recordUse(of: expert, isResident: slot >= 0) }
        guard slot >= 0 else { return nil }
        hold(slot)
        if !isPassing { stay(slot) }
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
    mutating func place(_ expert: Int, isPassing: Bool = false) -> Placement {
        let present = Int(slotOfExpert[expert])
        if present >= 0 {
            hold(present)
            if !isPassing { stay(present) }
            return .present(present)
        }
        guard let (slot, evicted) = takeSlot(for: expert, isPassing: isPassing, mayTakeExpected: true) else {
            return .none
        }
        occupy(slot, with: expert, isPassing: isPassing)
        slots[slot].holderCount = 1
        slots[slot].wasHeld = true
        slots[slot].phase = .queued
        lists.append(slot, to: SlotLists.queue, in: &slots)
        return .queued(slot, evicted: evicted)
    }

    /// Counts a layer's uses by a prompt's chunk, all experts of the layer at once.
    mutating func recordUse(of expert: Int, tokens: Int, ofTokens tokenCount: Int) {
        policy.recordUse(of: expert, tokens: tokens, ofTokens: tokenCount)
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
            makeEvictable(slot)
        case .queued:
            vacate(slot)
        case .reading, .partial:
            // What is begun ends, and what isn't is left.
            if slots[slot].partsLeft > 0 {
                lists.remove(slot, in: &slots)
                if slots[slot].partsRunning == 0 { vacate(slot) }
            }
        case .failed:
            if slots[slot].partsRunning == 0 { vacate(slot) }
        case .free, .retired:
            break
        }
    }

    // MARK: The lanes' side

    /// The first part that nobody has begun, of the expert that was asked for first.
    mutating func takeRead() -> Read? {
        guard let slot = lists.first(of: SlotLists.queue) else { return nil }
        return takePart(of: slot)
    }

    /// Whether there is a part that was asked for and that nobody has begun.
    var hasReads: Bool { lists.first(of: SlotLists.queue) != nil }

    mutating func takePart(of slot: Int) -> Read {
        let expert = Int(slots[slot].expert)
        let part = Int(partCounts[expert] - slots[slot].partsLeft)
        slots[slot].partsLeft -= 1
        if slots[slot].partsRunning == 0 { slots[slot].readStart = .now }
        slots[slot].partsRunning += 1
        if slots[slot].partsLeft == 0 { lists.remove(slot, in: &slots) }
        if case .queued = slots[slot].phase { slots[slot].phase = .reading }
        return Read(slot: slot, expert: expert, part: part)
    }

    /// Whether the end of the one part that lanes are at makes the expert complete.
    func isLastPart(of slot: Int) -> Bool {
        !hasFailed(slot) && slots[slot].partsLeft == 0 && slots[slot].partsRunning == 1
    }

    func hasFailed(_ slot: Int) -> Bool {
        if case .failed = slots[slot].phase { true } else { false }
    }

    /// A part has been read, or not.
    mutating func finish(_ read: Read, failure: PagingError?) {
        let slot = read.slot
        slots[slot].partsRunning -= 1
        if read.part == 0 { slots[slot].hasFirstPart = true }
        let isHeld = slots[slot].holderCount > 0
        if case .failed = slots[slot].phase {
            if !isHeld, slots[slot].partsRunning == 0 { vacate(slot) }
        } else if let failure {
            unreadable[Int32(truncatingIfNeeded: read.expert)] = failure
            // Whoever asks from now on reads again.
            slotOfExpert[read.expert] = -1
            policy.dismiss(read.expert)
            slots[slot].expert = -1
            slots[slot].phase = .failed(failure)
            slots[slot].partsLeft = 0
            lists.remove(slot, in: &slots)
            if !isHeld, slots[slot].partsRunning == 0 { vacate(slot) }
        } else if slots[slot].partsLeft == 0, slots[slot].partsRunning == 0 {
            if !unreadable.isEmpty { unreadable[slots[slot].expert] = nil }
            residentCount += 1
            slots[slot].phase = .ready
            if !isHeld { makeEvictable(slot) }
        } else if slots[slot].hasFirstPart {
            slots[slot].phase = .partial
        }
        if hasFailed(slot) { endAwaiting(slot) }
    }

    // MARK: Details

    mutating func takeSlot(
        for expert: Int, isPassing: Bool, mayTakeExpected: Bool
    ) -> (slot: Int, evicted: Bool)? {
        let sizeClass = Int(sizeClasses[expert])
        // A chunk goes round in the slots that its experts have done with, and takes no more of the free ones than it needs.
        if isPassing, let slot = takeLast(of: lists.spent(sizeClass)) { return (slot, true) }
        if let unused = free[sizeClass].popLast() { return (Int(unused), false) }
        if let slot = takeLast(of: lists.spent(sizeClass)) { return (slot, true) }
        if let victim = policy.takeVictim(for: expert) {
            let slot = Int(slotOfExpert[victim])
            slotOfExpert[victim] = -1
            residentCount -= 1
            return (slot, true)
        }
        if mayTakeExpected, let slot = takeLast(of: lists.expected(sizeClass)) { return (slot, true) }
        return nil
    }

    /// Takes the slot that was added to a list last away from its expert.
    mutating func takeLast(of list: Int) -> Int? {
        guard let slot = lists.last(of: list) else { return nil }
        lists.remove(slot, in: &slots)
        let expert = Int(slots[slot].expert)
        slotOfExpert[expert] = -1
        policy.dismiss(expert)
        residentCount -= 1
        return slot
    }

    mutating func occupy(_ slot: Int, with expert: Int, isPassing: Bool) {
        slotOfExpert[expert] = Int32(slot)
        slots[slot].expert = Int32(expert)
        slots[slot].partsLeft = partCounts[expert]
        slots[slot].partsRunning = 0
        slots[slot].hasFirstPart = false
        slots[slot].isPassing = isPassing
        slots[slot].wasHeld = false
        slots[slot].isAhead = false
        policy.admit(expert, isPassing: isPassing)
    }

    private mutating func hold(_ slot: Int) {
        slots[slot].holderCount += 1
        slots[slot].wasHeld = true
        if slots[slot].isAhead {
            slots[slot].isAhead = false
            usedAheadCount += 1
        }
        guard slots[slot].holderCount == 1 else { return }
        switch slots[slot].phase {
        case .ready:
            if slots[slot].list == SlotLists.none {
                policy.makeUnevictable(Int(slots[slot].expert))
            } else {
                lists.remove(slot, in: &slots)
            }
        case .reading, .partial:
            // Other lanes may help now.
            if slots[slot].partsLeft > 0 { lists.append(slot, to: SlotLists.queue, in: &slots) }
        case .free, .queued, .failed, .retired:
            break
        }
    }

    /// A generated token wants the expert: it is like any other from now on.
    private mutating func stay(_ slot: Int) {
        guard slots[slot].isPassing else { return }
        slots[slot].isPassing = false
        policy.settle(Int(slots[slot].expert))
    }

    /// Nobody holds a complete expert any more, or nobody has held it yet.
    private mutating func makeEvictable(_ slot: Int) {
        let expert = Int(slots[slot].expert)
        guard slots[slot].isPassing else { return policy.makeEvictable(expert) }
        let sizeClass = slots[slot].sizeClass
        guard slots[slot].wasHeld else {
            return lists.append(slot, to: lists.expected(sizeClass), in: &slots)
        }
        let isWhole = usableCounts[sizeClass] == expertCounts[sizeClass]
        switch policy.settleOrPass(expert, hasRoom: isWhole || free[sizeClass].count > passingReserve) {
        case .stays:
            slots[slot].isPassing = false
        case .passes:
            lists.append(slot, to: lists.spent(sizeClass), in: &slots)
        case .displaces(let other):
            slots[slot].isPassing = false
            let place = Int(slotOfExpert[other])
            slots[place].isPassing = true
            lists.append(place, to: lists.spent(sizeClass), in: &slots)
        }
    }

    /// Returns a slot whose content is worthless.
    mutating func vacate(_ slot: Int) {
        lists.remove(slot, in: &slots)
        let expert = Int(slots[slot].expert)
        if expert >= 0 {
            slotOfExpert[expert] = -1
            policy.dismiss(expert)
        }
        slots[slot].expert = -1
        slots[slot].phase = .free
        slots[slot].partsLeft = 0
        free[slots[slot].sizeClass].append(Int32(slot))
    }
}

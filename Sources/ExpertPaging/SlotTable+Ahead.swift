/// Experts that nobody asked for, or asks for any more.
extension SlotTable {
    /// Whether nobody holds an expert that no lane is at and that isn't complete: it is to be abandoned or gone on with.
    func isForsaken(_ slot: Int) -> Bool {
        slots[slot].holderCount == 0 && slots[slot].partsRunning == 0 && slots[slot].partsLeft > 0
    }

    /// Gives a forsaken expert's slot back.
    mutating func abandon(_ slot: Int) {
        precondition(isForsaken(slot))
        vacate(slot)
    }

    /// Leaves a part unfinished that nobody holds, and gives the slot back once no other lane is at it.
    mutating func interrupt(_ read: Read) {
        precondition(slots[read.slot].holderCount == 0)
        if slots[read.slot].partsRunning == 1 {
            slots[read.slot].partsRunning = 0
            vacate(read.slot)
        } else {
            finish(read, failure: PagingError(.cancelled, "the expert wasn't wanted any more"))
        }
    }

    /// Whether somebody holds the slot.
    func isHeld(_ slot: Int) -> Bool { slots[slot].holderCount > 0 }

    /// Begins to read an expert that nobody asked for into a free slot. nil when it is in memory already or there is no free
    /// slot: nothing is evicted for a guess of this kind.
    mutating func takeGuess(_ expert: Int) -> Read? {
        guard slotOfExpert[expert] < 0, let unused = free[Int(sizeClasses[expert])].popLast() else { return nil }
        return begin(expert, in: Int(unused), isPassing: false)
    }

    /// The same for one that a router is expected to choose soon: another may have to go for it. nil when it is in
    /// memory, or everything that isn't held is expected itself.
    mutating func takeExpected(_ expert: Int, isPassing: Bool) -> (read: Read, evicted: Bool)? {
        guard slotOfExpert[expert] < 0,
            let (slot, evicted) = takeSlot(for: expert, isPassing: isPassing, mayTakeExpected: false)
        else { return nil }
        let read = begin(expert, in: slot, isPassing: isPassing)
        slots[slot].isAhead = true
        return (read, evicted)
    }

    /// What was read ahead for a prompt and isn't among `experts` is the first to go now.
    mutating func expireExpected(except experts: Range<Int>) {
        for sizeClass in free.indices {
            var next = lists.first(of: lists.expected(sizeClass))
            while let slot = next {
                next = slots[slot].next < 0 ? nil : Int(slots[slot].next)
                guard !experts.contains(Int(slots[slot].expert)) else { continue }
                lists.remove(slot, in: &slots)
                lists.append(slot, to: lists.spent(sizeClass), in: &slots)
            }
        }
    }

    /// Complete experts that were read ahead for a prompt and wait for it.
    var expectedCount: Int { free.indices.reduce(0) { $0 + lists.count(of: lists.expected($1)) } }

    /// Whether the slot's expert was read, or is being read, because it was expected, and nobody has asked for it yet.
    func isAhead(_ slot: Int) -> Bool { slots[slot].isAhead }
    func isPassing(_ slot: Int) -> Bool { slots[slot].isPassing }

    private mutating func begin(_ expert: Int, in slot: Int, isPassing: Bool) -> Read {
        occupy(slot, with: expert, isPassing: isPassing)
        slots[slot].phase = .reading
        return takePart(of: slot)
    }
}

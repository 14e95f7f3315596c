/// Experts whose read takes much longer than storage that works ever does. Those who need one step aside for others, and it is
/// held for them until they come back, so that it isn't evicted before they do.
extension SlotTable {
    /// Whether lanes have been at the slot for so long.
    func hasReadRunning(_ slot: Int, for duration: Duration) -> Bool {
        slots[slot].partsRunning > 0 && slots[slot].readStart.duration(to: .now) >= duration
    }

    /// Lanes that have been at one read for so long.
    func laneCount(stuckFor duration: Duration) -> Int {
        slots.indices.reduce(0) { $0 + (hasReadRunning($1, for: duration) ? Int(slots[$1].partsRunning) : 0) }
    }

    /// The slot of the first expert that was asked for, has a part that nobody has begun, and no lane stuck at another.
    func firstQueued(withoutReadFor duration: Duration) -> Int? {
        var next = lists.first(of: SlotLists.queue)
        while let slot = next, hasReadRunning(slot, for: duration) {
            next = slots[slot].next < 0 ? nil : Int(slots[slot].next)
        }
        return next
    }

    /// Holds a slot that lanes are at until `endAwaiting`, or until its read fails.
    mutating func await(_ slot: Int) {
        guard !slots[slot].isAwaited else { return }
        slots[slot].isAwaited = true
        slots[slot].holderCount += 1
        awaitedCount += 1
    }

    mutating func endAwaiting(_ slot: Int) {
        guard slots[slot].isAwaited else { return }
        slots[slot].isAwaited = false
        awaitedCount -= 1
        letGo(slot)
    }

    /// The slot that is held for those who want the expert, and whether it is still being read.
    func awaited(_ expert: Int) -> (slot: Int, isComing: Bool)? {
        let slot = Int(slotOfExpert[expert])
        guard slot >= 0, slots[slot].isAwaited else { return nil }
        if case .ready = slots[slot].phase { return (slot, false) }
        return (slot, true)
    }
}

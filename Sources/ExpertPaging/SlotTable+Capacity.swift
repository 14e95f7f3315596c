/// Slots that are taken out of use and brought back, so that the arena's memory can shrink and grow.
extension SlotTable {
    /// Takes up to `count` slots of a size class out of use: free ones first, then those that a prompt's chunk is done
    /// with, those of the coldest experts that nobody holds, and those that are expected. Until they are reinstated nobody touches their memory.
    mutating func retire(_ count: Int, ofClass sizeClass: Int) -> (slots: [Int32], evictedCount: Int) {
        var retired: [Int32] = []
        var evictedCount = 0
        while retired.count < count {
            let slot: Int32
            if let unused = free[sizeClass].popLast() {
                slot = unused
            } else if let spent = takeLast(of: lists.spent(sizeClass)) {
                slot = Int32(truncatingIfNeeded: spent)
                slots[spent].expert = -1
                evictedCount += 1
            } else if let victim = policy.takeColdest(ofClass: sizeClass) {
                slot = slotOfExpert[victim]
                slotOfExpert[victim] = -1
                slots[Int(slot)].expert = -1
                residentCount -= 1
                evictedCount += 1
            } else if let expected = takeLast(of: lists.expected(sizeClass)) {
                slot = Int32(truncatingIfNeeded: expected)
                slots[expected].expert = -1
                evictedCount += 1
            } else {
                break
            }
            slots[Int(slot)].phase = .retired
            retired.append(slot)
        }
        usableCounts[sizeClass] -= retired.count
        return (retired, evictedCount)
    }

    /// Lets retired slots of one size class be used again.
    mutating func reinstate(_ retired: some Sequence<Int32>) {
        for slot in retired {
            let sizeClass = slots[Int(slot)].sizeClass
            slots[Int(slot)].phase = .free
            free[sizeClass].append(slot)
            usableCounts[sizeClass] += 1
        }
    }

    func fits(expert: Int, slot: Int) -> Bool { slots[slot].sizeClass == Int(sizeClasses[expert]) }

    /// Puts experts into free slots that hold their bytes already.
    mutating func adopt(_ pairs: [(slot: Int, expert: Int)]) {
        for (slot, expert) in pairs {
            occupy(slot, with: expert, isPassing: false)
            slots[slot].partsLeft = 0
            slots[slot].phase = .ready
            policy.makeEvictable(expert)
        }
        residentCount += pairs.count
        for sizeClass in free.indices { free[sizeClass].removeAll { slots[Int($0)].expert >= 0 } }
    }

    /// Tells the policy how many slots there are to divide, one entry a size class.
    mutating func divide(_ slotCounts: [Int]) {
        policy.divide(slotCounts, expertsPerToken: expertsPerToken)
    }
}

/// Doubly linked lists through the slots of a `SlotTable`, each slot in one of them or in none.
struct SlotLists {
    /// In no list.
    static let none: Int8 = -1
    /// Slots with parts that are asked for and that no lane has begun, the oldest first.
    static let queue = 0

    /// [lists]
    private var heads: [Int32]
    private var tails: [Int32]
    private var counts: [Int]
    private let classCount: Int

    init(classCount: Int) {
        self.classCount = classCount
        heads = Array(repeating: -1, count: 1 + 2 * classCount)
        tails = heads
        counts = Array(repeating: 0, count: heads.count)
    }

    /// What a prompt's chunk has done with and brings nothing more, by size class: the first to go.
    func spent(_ sizeClass: Int) -> Int { 1 + sizeClass }

    /// What was read ahead for a prompt's next layer and is the last to go.
    func expected(_ sizeClass: Int) -> Int { 1 + classCount + sizeClass }

    func first(of list: Int) -> Int? { heads[list] < 0 ? nil : Int(heads[list]) }
    func last(of list: Int) -> Int? { tails[list] < 0 ? nil : Int(tails[list]) }

    func count(of list: Int) -> Int { counts[list] }

    /// - Precondition: the slot is in no list.
    mutating func append(_ slot: Int, to list: Int, in slots: inout [SlotTable.Slot]) {
        precondition(slots[slot].list == Self.none, "a slot is in one list at a time")
        slots[slot].list = Int8(list)
        counts[list] += 1
        slots[slot].previous = tails[list]
        slots[slot].next = -1
        if tails[list] >= 0 { slots[Int(tails[list])].next = Int32(slot) } else { heads[list] = Int32(slot) }
        tails[list] = Int32(slot)
    }

    /// Takes a slot out of its list, if it is in one.
    mutating func remove(_ slot: Int, in slots: inout [SlotTable.Slot]) {
        guard slots[slot].list != Self.none else { return }
        let list = Int(slots[slot].list)
        counts[list] -= 1
        let (next, previous) = (slots[slot].next, slots[slot].previous)
        if previous >= 0 { slots[Int(previous)].next = next } else { heads[list] = next }
        if next >= 0 { slots[Int(next)].previous = previous } else { tails[list] = previous }
        slots[slot].list = Self.none
    }
}

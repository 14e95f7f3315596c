/// What a layer's router is expected to choose, the surest first. Made once; nothing is allocated later.
struct Expectation {
    /// The layer; -1 for none.
    private(set) var layer = -1
    /// What may be read ahead, and how much of it was taken.
    private var experts: [Int32] = []
    private var taken = 0
    /// [experts]: the expectation that an expert was last in.
    private var numbers: [UInt32]
    private var number: UInt32 = 0

    init(expertCount: Int) {
        numbers = Array(repeating: 0, count: expertCount)
        experts.reserveCapacity(expertCount)
    }

    /// Whether there is nothing left to read ahead.
    var isEmpty: Bool { taken == experts.count }

    /// Begins anew for a layer, with nothing expected.
    mutating func begin(layer: Int) {
        self.layer = layer
        experts.removeAll(keepingCapacity: true)
        taken = 0
        number &+= 1
        if number == 0 {
            // After four billion, old numbers would come round again.
            for expert in numbers.indices { numbers[expert] = 0 }
            number = 1
        }
    }

    mutating func append(_ expert: Int, isRead: Bool) {
        numbers[expert] = number
        if isRead { experts.append(Int32(truncatingIfNeeded: expert)) }
    }

    func contains(_ expert: Int) -> Bool { layer >= 0 && numbers[expert] == number }

    /// The next expert to read ahead.
    mutating func next() -> Int32? {
        guard taken < experts.count else { return nil }
        taken += 1
        return experts[taken - 1]
    }

    /// The layer has chosen, or nobody goes on to it: nothing is expected any more.
    mutating func end() {
        begin(layer: -1)
    }
}

/// The names of an object so far, to notice one that comes twice.
///
/// It keeps where they stand in the text and not the names themselves: an object of millions takes about twice as many
/// bytes as its text.
struct JSONNames {
    /// A hash table with open addressing: the hash's upper half, and one more than the place in the lower; 0 is free.
    private var slots: [UInt64] = []
    private var count = 0
    /// See `JSONLimits`.
    private let tellsEquivalentApart: Bool

    init(tellingEquivalentApart: Bool) { tellsEquivalentApart = tellingEquivalentApart }

    /// Whether the name is a new one.
    ///
    /// - Parameters:
    ///   - place: of the name in the text, less than 2³² − 1.
    ///   - read: the name at a place.
    mutating func insert(_ name: String, at place: Int, reading read: (Int) -> String) -> Bool {
        if 4 * count >= 3 * slots.count { grow() }
        let hash = UInt64(truncatingIfNeeded: name.hashValue) >> 32
        var index = firstIndex(hash)
        while slots[index] != 0 {
            if slots[index] >> 32 == hash, isSame(read(Int(slots[index] & 0xFFFF_FFFF) - 1), name) { return false }
            index = (index + 1) & (slots.count - 1)
        }
        slots[index] = hash << 32 | UInt64(place + 1)
        count += 1
        return true
    }

    private func isSame(_ left: String, _ right: String) -> Bool {
        tellsEquivalentApart ? left.utf8.elementsEqual(right.utf8) : left == right
    }

    private func firstIndex(_ hash: UInt64) -> Int { Int(hash) & (slots.count - 1) }

    private mutating func grow() {
        let old = slots
        slots = [UInt64](repeating: 0, count: max(8, 2 * old.count))
        for slot in old where slot != 0 {
            var index = firstIndex(slot >> 32)
            while slots[index] != 0 { index = (index + 1) & (slots.count - 1) }
            slots[index] = slot
        }
    }
}

/// Which two tokens merge, into which, and how early: a hash table with open addressing.
struct MergeTable: Sendable {
    /// Rank in the upper half, the merged token in the lower: the smallest value is the merge that comes first.
    typealias Merge = UInt64
    static let none = Merge.max

    private var keys: [UInt64]
    private var merges: [Merge]
    private let mask: Int
    /// Drawn at random, so that no vocabulary can be made whose pairs all fall on one place.
    private let seed = UInt64.random(in: .min ... .max)
    private let multiplier = UInt64.random(in: .min ... .max) | 1

    init(capacity: Int) {
        var size = 16
        while size < 2 * capacity { size *= 2 }
        keys = Array(repeating: .max, count: size)
        merges = Array(repeating: Self.none, count: size)
        mask = size - 1
    }

    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    private func slot(_ key: UInt64) -> Int {
        var hash = (key ^ seed) &* multiplier
        hash ^= hash >> 32
        hash = hash &* multiplier
        return Int(truncatingIfNeeded: hash >> 32) & mask
    }

    /// A pair that is there already gets the new rank, as in the reference.
    mutating func insert(_ left: Int32, _ right: Int32, rank: Int, merged: Int32) {
        let key = Self.key(left, right)
        var slot = slot(key)
        while keys[slot] != .max, keys[slot] != key { slot = (slot + 1) & mask }
        keys[slot] = key
        merges[slot] = UInt64(UInt32(truncatingIfNeeded: rank)) << 32 | UInt64(UInt32(bitPattern: merged))
    }

    func find(_ left: Int32, _ right: Int32) -> Merge {
        let key = Self.key(left, right)
        var slot = slot(key)
        while true {
            if keys[slot] == key { return merges[slot] }
            if keys[slot] == .max { return Self.none }
            slot = (slot + 1) & mask
        }
    }

    static func token(_ merge: Merge) -> Int32 { Int32(truncatingIfNeeded: merge) }
}

/// How much a JSON text may hold. What reading takes in memory and time is bounded by a multiple of these.
package struct JSONLimits: Sendable {
    package let byteCount: Int
    /// Arrays and objects inside each other.
    package let depth: Int
    /// Numbers, strings, truth values, nulls, arrays and objects; the names in objects don't count.
    package let valueCount: Int
    /// Whether names that differ only in Unicode's normalisation form may stand in one object, as tokens of a vocabulary
    /// do. Whoever allows it must not use them as keys of a dictionary, which takes them for one.
    package let tellsEquivalentNamesApart: Bool

    /// - Parameter valueCount: at most 32 bytes of a `JSONValue`, and about 100 of a decoder, are taken for each.
    package init(byteCount: Int, depth: Int = 64, valueCount: Int = .max, tellsEquivalentNamesApart: Bool = false) {
        // Places in the text are kept in 32 bits.
        self.byteCount = min(byteCount, Int(UInt32.max) - 1)
        self.depth = depth
        self.valueCount = valueCount
        self.tellsEquivalentNamesApart = tellsEquivalentNamesApart
    }
}

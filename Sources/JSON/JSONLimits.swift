/// How much a JSON text may hold. What reading takes in memory and time is bounded by a multiple of these.
package struct JSONLimits: Sendable {
    package let byteCount: Int
    /// Arrays and objects inside each other.
    package let depth: Int
    /// Numbers, strings, truth values, nulls, arrays and objects; the names in objects don't count.
    package let valueCount: Int

    /// - Parameter valueCount: at most 32 bytes of a `JSONValue`, and about 100 of a decoder, are taken for each.
    package init(byteCount: Int, depth: Int = 64, valueCount: Int = .max) {
        // Places in the text are kept in 32 bits.
        self.byteCount = min(byteCount, Int(UInt32.max) - 1)
        self.depth = depth
        self.valueCount = valueCount
    }
}

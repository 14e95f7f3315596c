/// Remembers the ids of short pieces: most words of a text have occurred before.
///
/// Direct-mapped and of a fixed size; a piece that falls on another's place replaces it.
struct PieceCache: Sendable {
    /// A piece's bytes and length in 16 bytes.
    struct Key: Equatable {
        var low: UInt64
        var high: UInt64

        static let longestPiece = 15

        /// nil if the piece is too long to be remembered.
        init?(_ piece: UnsafeBufferPointer<UInt8>) {
            guard piece.count <= Self.longestPiece else { return nil }
            low = 0
            high = UInt64(piece.count) << 56
            for index in 0..<piece.count {
                let byte = unsafe UInt64(piece[index])
                if index < 8 { low |= byte << (8 * UInt64(index)) } else { high |= byte << (8 * UInt64(index - 8)) }
            }
        }

        fileprivate var place: Int {
            var hash = (low ^ (high &* 0xC2B2_AE3D_27D4_EB4F)) &* 0x9E37_79B9_7F4A_7C15
            hash ^= hash >> 32
            return Int(truncatingIfNeeded: hash &* 0x9E37_79B9_7F4A_7C15 >> 40) & (PieceCache.placeCount - 1)
        }
    }

    private static let placeCount = 1 << 14
    private static let longestIDs = 7
    private static let stride = longestIDs + 1

    private var keys = [Key?](repeating: nil, count: placeCount)
    /// [place, count and ids]
    private var values = [Int32](repeating: 0, count: placeCount * stride)

    /// Appends the piece's ids to `output` if they are known.
    func append(_ key: Key, to output: inout [Int32]) -> Bool {
        let place = key.place
        guard keys[place] == key else { return false }
        let base = place * Self.stride
        for index in 0..<Int(values[base]) { output.append(values[base + 1 + index]) }
        return true
    }

    mutating func remember(_ key: Key, _ ids: ArraySlice<Int32>) {
        guard ids.count <= Self.longestIDs else { return }
        let place = key.place
        keys[place] = key
        let base = place * Self.stride
        values[base] = Int32(ids.count)
        for (index, id) in ids.enumerated() { values[base + 1 + index] = id }
    }
}

/// The tokens' bytes, by id, and the way back.
struct Vocabulary: Sendable {
    /// An id is an index into arrays, so a file may not name one far beyond what vocabularies have.
    static let largestID = 1 << 21

    /// One more than the largest id.
    let count: Int
    /// All tokens' bytes, one after the other; token i is `offsets[i]..<offsets[i + 1]`.
    private var bytes: [UInt8] = []
    private var offsets: [Int32] = [0]
    /// Ids that have a token: a file may leave gaps.
    private var isKnown: [Bool]
    /// Byte-level tokens by their bytes. Open addressing; −1 is an empty place.
    private var places: [Int32]
    private let seed = UInt64.random(in: .min ... .max)

    /// `tokens` by id; ids without one are gaps.
    init(_ tokens: [String?]) {
        count = tokens.count
        isKnown = tokens.map { $0 != nil }
        var size = 16
        while size < 2 * tokens.count { size *= 2 }
        places = Array(repeating: -1, count: size)
        offsets.reserveCapacity(tokens.count + 1)
        for (id, token) in tokens.enumerated() {
            let mapped = token.flatMap(ByteAlphabet.mapped)
            if let content = mapped ?? token.map({ Array($0.utf8) }) { bytes += content }
            offsets.append(Int32(bytes.count))
            if let mapped, !mapped.isEmpty { insert(Int32(id), mapped) }
        }
    }

    subscript(id: Int32) -> ArraySlice<UInt8>? {
        guard id >= 0, Int(id) < count, isKnown[Int(id)] else { return nil }
        return bytes[Int(offsets[Int(id)])..<Int(offsets[Int(id) + 1])]
    }

    /// The byte-level token of exactly these bytes.
    func id(of content: some Collection<UInt8>) -> Int32? {
        var place = hash(content)
        while places[place] >= 0 {
            if let found = self[places[place]], found.elementsEqual(content) { return places[place] }
            place = (place + 1) & (places.count - 1)
        }
        return nil
    }

    private mutating func insert(_ id: Int32, _ content: [UInt8]) {
        var place = hash(content)
        while places[place] >= 0 { place = (place + 1) & (places.count - 1) }
        places[place] = id
    }

    private func hash(_ content: some Collection<UInt8>) -> Int {
        var hash = seed
        for byte in content {
            hash = (hash ^ UInt64(byte)) &* 0x9E37_79B9_7F4A_7C15
            hash ^= hash >> 29
        }
        return Int(truncatingIfNeeded: hash >> 8) & (places.count - 1)
    }
}

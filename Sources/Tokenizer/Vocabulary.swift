import TokenText

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
    /// Tokens by their bytes. Open addressing; −1 is an empty place.
    private var places: [Int32]
    private let seed = UInt64.random(in: .min ... .max)

    private init(count: Int) {
        self.count = count
        isKnown = Array(repeating: false, count: count)
        var size = 16
        while size < 2 * count { size *= 2 }
        places = Array(repeating: -1, count: size)
        offsets.reserveCapacity(count + 1)
    }

    /// Tokens written in the alphabet of bytes, by id; ids without one are gaps. What isn't of the alphabet is an added
    /// token, stands for itself, and isn't found by its bytes.
    init(byteLevel tokens: [String?]) {
        self.init(count: tokens.count)
        for (id, token) in tokens.enumerated() {
            let mapped = token.flatMap(ByteAlphabet.mapped)
            append(mapped ?? token.map { Array($0.utf8) })
            if let mapped { insert(Int32(id), mapped) }
        }
    }

    /// Tokens that stand for themselves, by id; ids without one are gaps.
    init(texts tokens: [[UInt8]?]) {
        self.init(count: tokens.count)
        for (id, token) in tokens.enumerated() {
            append(token)
            if let token { insert(Int32(id), token) }
        }
    }

    subscript(id: Int32) -> ArraySlice<UInt8>? {
        guard id >= 0, Int(id) < count, isKnown[Int(id)] else { return nil }
        return bytes[Int(offsets[Int(id)])..<Int(offsets[Int(id) + 1])]
    }

    /// The token of exactly these bytes.
    func id(of content: some Collection<UInt8>) -> Int32? {
        var place = hash(content)
        while places[place] >= 0 {
            if let found = self[places[place]], found.elementsEqual(content) { return places[place] }
            place = (place + 1) & (places.count - 1)
        }
        return nil
    }

    private mutating func append(_ content: [UInt8]?) {
        if let content {
            isKnown[offsets.count - 1] = true
            bytes += content
        }
        offsets.append(Int32(bytes.count))
    }

    /// Of two tokens of the same bytes the later one is found.
    private mutating func insert(_ id: Int32, _ content: [UInt8]) {
        if content.isEmpty { return }
        var place = hash(content)
        while places[place] >= 0 {
            if let found = self[places[place]], found.elementsEqual(content) { break }
            place = (place + 1) & (places.count - 1)
        }
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

/// Byte-pair encoding of one piece: the pair of the lowest rank merges first, the leftmost of equals, until none is
/// left.
struct PieceEncoder: Sendable {
    /// The token of each single byte.
    let byteTokens: [Int32]
    let merges: MergeTable

    /// Up to this length, looking through all pairs after each merge is faster than keeping them in order.
    private static let longestShortPiece = 48

    /// Buffers that are reused from piece to piece.
    struct Buffers: Sendable {
        fileprivate var tokens: [Int32] = []
        fileprivate var pairs: [MergeTable.Merge] = []
        fileprivate var next: [Int32] = []
        fileprivate var previous: [Int32] = []
        fileprivate var queue = MergeQueue()

        var capacity: Int { tokens.capacity + pairs.capacity + next.capacity + previous.capacity + queue.capacity }
    }

    func encode(_ piece: UnsafeBufferPointer<UInt8>, _ buffers: inout Buffers, into output: inout [Int32]) {
        buffers.tokens.removeAll(keepingCapacity: true)
        for index in 0..<piece.count { buffers.tokens.append(byteTokens[Int(unsafe piece[index])]) }
        if piece.count <= Self.longestShortPiece {
            mergeShort(&buffers.tokens, &buffers.pairs)
            output.append(contentsOf: buffers.tokens)
        } else {
            mergeLong(&buffers, into: &output)
        }
    }

    private func mergeShort(_ tokens: inout [Int32], _ pairs: inout [MergeTable.Merge]) {
        pairs.removeAll(keepingCapacity: true)
        for index in tokens.indices.dropLast() { pairs.append(merges.find(tokens[index], tokens[index + 1])) }
        while true {
            var best = MergeTable.none
            var place = 0
            for index in pairs.indices where pairs[index] < best {
                best = pairs[index]
                place = index
            }
            if best == MergeTable.none { return }
            tokens[place] = MergeTable.token(best)
            tokens.remove(at: place + 1)
            pairs.remove(at: place)
            if place > 0 { pairs[place - 1] = merges.find(tokens[place - 1], tokens[place]) }
            if place < pairs.count { pairs[place] = merges.find(tokens[place], tokens[place + 1]) }
        }
    }

    /// O(n log n): tokens in a linked list over their first bytes' positions, candidates in a heap. A candidate that
    /// has been overtaken is recognised when it comes up, since a rank belongs to one pair only.
    private func mergeLong(_ buffers: inout Buffers, into output: inout [Int32]) {
        let count = buffers.tokens.count
        buffers.next.removeAll(keepingCapacity: true)
        buffers.previous.removeAll(keepingCapacity: true)
        for index in 0..<count {
            buffers.next.append(index + 1 < count ? Int32(index + 1) : -1)
            buffers.previous.append(Int32(index - 1))
        }
        for index in 0..<count { offer(index, &buffers) }
        while let candidate = buffers.queue.removeFirst() {
            let place = candidate.position
            let next = buffers.next[place]
            guard buffers.tokens[place] >= 0, next >= 0 else { continue }
            let merge = merges.find(buffers.tokens[place], buffers.tokens[Int(next)])
            guard merge != MergeTable.none, merge >> 32 == candidate.rank else { continue }
            buffers.tokens[place] = MergeTable.token(merge)
            buffers.tokens[Int(next)] = -1
            let after = buffers.next[Int(next)]
            buffers.next[place] = after
            if after >= 0 { buffers.previous[Int(after)] = Int32(place) }
            offer(place, &buffers)
            if buffers.previous[place] >= 0 { offer(Int(buffers.previous[place]), &buffers) }
        }
        for token in buffers.tokens where token >= 0 { output.append(token) }
    }

    private func offer(_ place: Int, _ buffers: inout Buffers) {
        let next = buffers.next[place]
        guard next >= 0 else { return }
        let merge = merges.find(buffers.tokens[place], buffers.tokens[Int(next)])
        if merge != MergeTable.none { buffers.queue.insert(rank: merge >> 32, position: place) }
    }
}

/// A binary heap of candidates, lowest rank first, leftmost of equals first.
struct MergeQueue: Sendable {
    /// Rank in the upper half, position in the lower.
    private var heap: [UInt64] = []

    var capacity: Int { heap.capacity }

    mutating func insert(rank: UInt64, position: Int) {
        heap.append(rank << 32 | UInt64(position))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if heap[parent] <= heap[child] { return }
            heap.swapAt(parent, child)
            child = parent
        }
    }

    mutating func removeFirst() -> (rank: UInt64, position: Int)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            sink()
        }
        return (first >> 32, Int(first & 0xFFFF_FFFF))
    }

    private mutating func sink() {
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child] < heap[least] {
                least = child
            }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}

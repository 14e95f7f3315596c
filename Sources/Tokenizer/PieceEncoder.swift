/// Byte-pair encoding of one piece: the pair of the lowest rank merges first, the leftmost of equals, until none is
/// left.
struct PieceEncoder: Sendable {
    /// The tokens that merging begins with.
    enum Start: Sendable {
        /// The token of each single byte.
        case bytes([Int32])
        case characters(CharacterTokens)
    }

    let start: Start
    let merges: MergeTable
    /// Between which two of the tokens that merging begins with some merge may reach across. What is cut elsewhere gives
    /// the same ids. nil if that isn't known.
    let joints: MergeTable?

    /// Up to this length, looking through all pairs after each merge is faster than keeping them in order.
    private static let longestShortPiece = 48

    /// Buffers that are reused from piece to piece.
    struct Buffers: Sendable {
        fileprivate var tokens: [Int32] = []
        fileprivate var section: [Int32] = []
        fileprivate var pairs: [MergeTable.Merge] = []
        fileprivate var next: [Int32] = []
        fileprivate var previous: [Int32] = []
        fileprivate var queue = MergeQueue()

        var capacity: Int {
            tokens.capacity + section.capacity + pairs.capacity + next.capacity + previous.capacity + queue.capacity
        }
    }

    func encode(_ piece: UnsafeBufferPointer<UInt8>, _ buffers: inout Buffers, into output: inout [Int32]) {
        buffers.tokens.removeAll(keepingCapacity: true)
        switch start {
        case .bytes(let tokens):
            for index in 0..<piece.count { buffers.tokens.append(tokens[Int(unsafe piece[index])]) }
        case .characters(let characters): unsafe characters.append(piece, to: &buffers.tokens)
        }
        if buffers.tokens.count <= Self.longestShortPiece {
            mergeShort(&buffers.tokens, &buffers.pairs)
            output.append(contentsOf: buffers.tokens)
        } else {
            mergeSections(&buffers, into: &output)
        }
    }

    private func mergeSections(_ buffers: inout Buffers, into output: inout [Int32]) {
        var start = 0
        for index in buffers.tokens.indices {
            let isLast = index == buffers.tokens.count - 1
            guard isLast || !isJoint(buffers.tokens[index], buffers.tokens[index + 1]) else { continue }
            buffers.section.removeAll(keepingCapacity: true)
            buffers.section += buffers.tokens[start...index]
            if index - start < Self.longestShortPiece {
                mergeShort(&buffers.section, &buffers.pairs)
                output.append(contentsOf: buffers.section)
            } else {
                mergeLong(&buffers, into: &output)
            }
            start = index + 1
        }
    }

    private func isJoint(_ left: Int32, _ right: Int32) -> Bool {
        joints.map { $0.find(left, right) != MergeTable.none } ?? true
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
        let count = buffers.section.count
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
            guard buffers.section[place] >= 0, next >= 0 else { continue }
            let merge = merges.find(buffers.section[place], buffers.section[Int(next)])
            guard merge != MergeTable.none, merge >> 32 == candidate.rank else { continue }
            buffers.section[place] = MergeTable.token(merge)
            buffers.section[Int(next)] = -1
            let after = buffers.next[Int(next)]
            buffers.next[place] = after
            if after >= 0 { buffers.previous[Int(after)] = Int32(place) }
            offer(place, &buffers)
            if buffers.previous[place] >= 0 { offer(Int(buffers.previous[place]), &buffers) }
        }
        for token in buffers.section where token >= 0 { output.append(token) }
    }

    private func offer(_ place: Int, _ buffers: inout Buffers) {
        let next = buffers.next[place]
        guard next >= 0 else { return }
        let merge = merges.find(buffers.section[place], buffers.section[Int(next)])
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

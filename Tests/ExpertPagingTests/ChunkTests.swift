import Container
import ExpertPaging
import Testing

/// Prompts go through the experts a chunk at a time.
@Suite struct ChunkTests {
    private static let all = (0..<Int32(PagedContainer.expertCount)).map { $0 }

    /// Every expert of every layer, in waves, with the next layer read ahead.
    private func passChunk(_ store: ExpertStore, wave: Int = 3, tokens: (Int32) -> Int32 = { _ in 4 }) throws {
        var tickets: [ExpertStore.Ticket] = []
        let counts = Self.all.map(tokens)
        for layer in 1...PagedContainer.layerCount {
            store.recordUses(layer: layer, experts: Self.all.span, counts: counts.span, tokenCount: 16)
            for start in stride(from: 0, to: Self.all.count, by: wave) {
                let experts = Array(Self.all[start..<min(start + wave, Self.all.count)])
                try store.acquire(layer: layer, experts: experts.span, for: .chunk, into: &tickets)
                if start == 0, layer < PagedContainer.layerCount {
                    store.expect(layer: layer + 1, experts: Self.all.span, reading: Self.all.count, for: .chunk)
                }
                for ticket in tickets { _ = try store.wait(ticket) }
                store.release(&tickets)
            }
        }
        store.endChunk()
    }

    private func step(_ store: ExpertStore, _ experts: [Int32]) throws {
        var tickets: [ExpertStore.Ticket] = []
        for layer in 1...PagedContainer.layerCount {
            try store.acquire(layer: layer, experts: experts.span, into: &tickets)
            for ticket in tickets { _ = try store.wait(ticket) }
            store.release(&tickets)
        }
    }

    private func residents(_ store: ExpertStore) -> [Set<Int32>] {
        store.layers.map { layer in Set(Self.all.filter { layer.isResident[Int($0)] }) }
    }

    @Test(arguments: [5, 8, 14, 24, 30, 36])
    func everyExpertIsReadOnceAChunkAtMost(slots: Int) throws {
        let file = try PagedContainer()
        let store = try ExpertStore(container: ContainerReader(path: file.path), slotCount: slots, laneCount: 2)
        for chunk in 1...6 {
            try passChunk(store)
            #expect(store.counters.reads <= UInt64(chunk * 36))
        }
        #expect(store.counters.failures == 0)
    }

    /// What stays between chunks isn't read again: the chunk goes round in the other slots.
    @Test func partOfTheExpertsStaysFromChunkToChunk() throws {
        let file = try PagedContainer()
        let store = try ExpertStore(container: ContainerReader(path: file.path), slotCount: 30, laneCount: 2)
        try passChunk(store)
        let first = store.counters.reads
        #expect(first == 36)
        for _ in 0..<4 { try passChunk(store) }
        // Least recently used would read all 36 each time.
        #expect(store.counters.reads - first <= 4 * 24)
    }

    @Test func aPromptLeavesWhatIsInUse() throws {
        let file = try PagedContainer()
        let store = try ExpertStore(container: ContainerReader(path: file.path), slotCount: 24, laneCount: 2)
        for _ in 0..<40 { try step(store, [0, 1, 2]) }
        // The prompt uses all alike, and each less than those were used.
        for _ in 0..<3 { try passChunk(store, tokens: { _ in 2 }) }
        let before = store.counters.misses
        try step(store, [0, 1, 2])
        #expect(store.counters.misses - before <= 3)
    }

    @Test func whatAPromptUsesMostIsThereAfterIt() throws {
        let file = try PagedContainer()
        let store = try ExpertStore(container: ContainerReader(path: file.path), slotCount: 24, laneCount: 2)
        for _ in 0..<10 { try step(store, [0, 1, 2]) }
        for _ in 0..<8 { try passChunk(store, tokens: { [9, 10, 11].contains($0) ? 16 : 1 }) }
        let there = residents(store).reduce(0) { $0 + $1.intersection([9, 10, 11]).count }
        #expect(there >= 7)
    }
}

import Container
import ExpertPaging
import Glibc
import Testing

@Suite struct CapacityTests {
    private static let least = PagedContainer.expertsPerToken + 2
    private static let all = PagedContainer.layerCount * PagedContainer.expertCount

    private func use(_ store: ExpertStore, _ key: ExpertKey) throws -> [UInt8] {
        var tickets: [ExpertStore.Ticket] = []
        try store.acquire(layer: key.layer, experts: [Int32(key.expert)].span, into: &tickets)
        defer { store.release(&tickets) }
        let base = try store.wait(tickets[0])
        return Array(UnsafeRawBufferPointer(start: base, count: store.layout(of: tickets[0]).byteCount))
    }

    private func makeStore(_ file: PagedContainer, slotCount: Int = all) throws -> ExpertStore {
        try ExpertStore(container: ContainerReader(path: file.path), slotCount: slotCount, laneCount: 2)
    }

    @Test func aSmallerArenaHoldsFewerAndGivesTheRightBytes() throws {
        let file = try PagedContainer()
        let store = try makeStore(file)
        for key in file.allKeys { #expect(try use(store, key) == file.blobs[key]) }
        #expect(store.residentCount == Self.all)
        #expect(store.usableByteCounts.unoccupied == 0)
        for wanted in [20, 11, Self.least, 0] {
            #expect(store.use(slots: wanted))
            let expected = max(wanted, Self.least)
            #expect(store.usableSlotCount == expected)
            #expect(store.residentCount <= expected)
            #expect(store.shrinkEvictionCount == UInt64(Self.all - expected))
            // Each of the two lanes can be at one expert that nobody holds, and at two where there is room to read ahead.
            let readsAhead = expected >= PagedContainer.expertsPerToken + 8
            // So can two spare lanes, where that leaves a token's experts.
            #expect(store.leaseLimit == expected - (readsAhead ? 4 : 2) - min(expected - Self.least, 2))
            for key in file.allKeys { #expect(try use(store, key) == file.blobs[key]) }
        }
        #expect(store.counters.failures == 0)
        // Grown back, everything finds room again, and no more than that.
        #expect(store.use(slots: 1000))
        #expect(store.usableSlotCount == Self.all)
        for key in file.allKeys { #expect(try use(store, key) == file.blobs[key]) }
        #expect(store.residentCount == Self.all)
        let misses = store.counters.misses
        for key in file.allKeys { #expect(try use(store, key) == file.blobs[key]) }
        #expect(store.counters.misses == misses)
    }

    @Test func theColdestGoFirst() throws {
        let file = try PagedContainer()
        let store = try makeStore(file)
        for key in file.allKeys { _ = try use(store, key) }
        let hot = (0..<4).map { ExpertKey(layer: 2, expert: 3 * $0) }
        for _ in 0..<6 { for key in hot { _ = try use(store, key) } }
        store.use(slots: 8)
        let misses = store.counters.misses
        for key in hot { _ = try use(store, key) }
        #expect(store.counters.misses == misses)
    }

    @Test func theMachineGetsTheMemoryBack() throws {
        let file = try PagedContainer()
        let store = try makeStore(file)
        for key in file.allKeys { _ = try use(store, key) }
        var tickets: [ExpertStore.Ticket] = []
        try store.acquire(layer: 1, experts: ([1] as [Int32]).span, into: &tickets)
        let kept = try store.wait(tickets[0])
        // Every slot of this container takes as many pages.
        let slotByteCount = store.arenaByteCount / store.slotCount
        store.use(slots: Self.least)
        // The kept expert stands in the arena; its slot is still there, and of the others only as many as are in use.
        let arena = try #require(Self.residentPages(around: kept))
        #expect(arena * 4096 <= Self.least * slotByteCount)
        #expect(arena > 0)
        store.release(&tickets)
    }

    /// Pages in memory of the mapping that has the address in it (`/proc/self/smaps`).
    private static func residentPages(around address: UnsafeRawPointer) -> Int? {
        guard let file = fopen("/proc/self/smaps", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 4096)
        var isInside = false
        while fgets(&line, 4096, file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let words = text.split(whereSeparator: \.isWhitespace)
            let ends = (words.first ?? "").split(separator: "-").map { UInt($0, radix: 16) }
            if ends.count == 2, let start = ends[0], let end = ends[1] {
                isInside = start..<end ~= UInt(bitPattern: address)
            } else if isInside, words.first == "Rss:", let kilobytes = Int(words[1]) {
                return kilobytes / 4
            }
        }
        return nil
    }

    @Test func whatIsHeldStaysUntilItIsLetGo() throws {
        let file = try PagedContainer()
        let store = try makeStore(file)
        var held: [ExpertStore.Ticket] = []
        #expect(store.beginLeases() == Self.all)
        try store.acquire(layer: 1, experts: (Array(0..<12) as [Int32]).span, into: &held)
        for ticket in held { _ = try store.wait(ticket) }
        // A layer counts on all of them: nothing goes while it is at work.
        #expect(!store.use(slots: Self.least))
        #expect(store.usableSlotCount == Self.all)
        store.endLeases()
        #expect(!store.use(slots: Self.least))
        #expect(store.usableSlotCount == 12)
        for (expert, ticket) in held.enumerated() {
            let blob = Array(
                UnsafeRawBufferPointer(start: try store.wait(ticket), count: store.layout(of: ticket).byteCount))
            #expect(blob == file.blobs[ExpertKey(layer: 1, expert: expert)])
        }
        store.release(&held)
        #expect(store.use(slots: Self.least))
        #expect(store.usableSlotCount == Self.least)
    }

    @Test func slotsOfTwoSizesShrinkTogether() throws {
        let file = try PagedContainer(hasTwoSizes: true)
        let reader = try ContainerReader(path: file.path)
        let store = try ExpertStore(container: reader, slotCount: Self.all, laneCount: 2)
        for key in file.allKeys { _ = try use(store, key) }
        for wanted in [24, 10, 30] {
            #expect(store.use(slots: wanted))
            #expect(store.usableSlotCount == wanted)
            for key in file.allKeys { #expect(try use(store, key) == file.blobs[key]) }
        }
    }

    /// As the engine does it, while another thread changes the arena all the time.
    @Test func layersGoOnWhileTheArenaChanges() throws {
        let file = try PagedContainer()
        let store = try makeStore(file)
        let changer = try WorkerThread(name: "changer", stackByteCount: 512 << 10) {
            for round in 0..<3000 {
                store.use(slots: round % 3 == 0 ? Self.least : Int.random(in: Self.least...Self.all))
                sched_yield()
            }
            store.use(slots: Self.all)
        }
        defer { changer.join() }
        var tickets: [ExpertStore.Ticket] = []
        for _ in 0..<2000 {
            let layer = Int.random(in: 1...PagedContainer.layerCount)
            let limit = store.beginLeases()
            defer { store.endLeases() }
            let experts = Array((0..<Int32(PagedContainer.expertCount)).shuffled().prefix(limit))
            try store.acquire(layer: layer, experts: experts.span, into: &tickets)
            for (ticket, expert) in zip(tickets, experts) {
                let blob = try store.wait(ticket)
                let isEqual = file.blobs[ExpertKey(layer: layer, expert: Int(expert))].map {
                    $0.withUnsafeBytes { memcmp($0.baseAddress!, blob, $0.count) == 0 }
                }
                #expect(isEqual == true)
            }
            store.release(&tickets)
        }
    }
}

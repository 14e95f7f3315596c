import Container
import ExpertPaging
import Glibc
import Testing

@Suite struct ExpertStoreTests {
    private static let least = PagedContainer.expertsPerToken + 2
    private static let all = PagedContainer.layerCount * PagedContainer.expertCount

    /// The blob of a ticket, copied, or the error.
    private func read(_ store: ExpertStore, _ ticket: ExpertStore.Ticket) throws -> [UInt8] {
        let base = try store.wait(ticket)
        return Array(UnsafeRawBufferPointer(start: base, count: store.layout(of: ticket).byteCount))
    }

    private func use(_ store: ExpertStore, layer: Int, _ experts: [Int32]) throws -> [[UInt8]] {
        var tickets: [ExpertStore.Ticket] = []
        try store.acquire(layer: layer, experts: experts.span, into: &tickets)
        defer { store.release(&tickets) }
        return try tickets.map { try read(store, $0) }
    }

    @Test(arguments: [least, least + 1, 12, 20, all], [Packing.auto, .never, .always])
    func contentsAreTheSameForEveryArena(slotCount: Int, packing: Packing) throws {
        let file = try PagedContainer(packing: packing)
        let store = try ExpertStore(
            container: ContainerReader(path: file.path), slotCount: slotCount, laneCount: 2)
        #expect(store.slotCount == slotCount)
        for round in 0..<4 {
            for layer in 1...PagedContainer.layerCount {
                let experts = (0..<Int32(PagedContainer.expertsPerToken)).map { ($0 * 5 + Int32(round * layer)) % 12 }
                let blobs = try use(store, layer: layer, experts)
                for (expert, blob) in zip(experts, blobs) {
                    #expect(blob == file.blobs[ExpertKey(layer: layer, expert: Int(expert))])
                }
            }
        }
        #expect(store.residentCount <= slotCount)
    }

    /// Past the page cache, in one part and in two, packed and not.
    @Test(
        .enabled(if: PagedContainer.hasDirectReads, "the temporary directory's file system has no O_DIRECT"),
        arguments: [false, true])
    func contentsAreTheSamePastThePageCache(isLarge: Bool) throws {
        let file = try PagedContainer(isLarge: isLarge)
        let store = try ExpertStore(
            container: ContainerReader(path: file.path), slotCount: 12, laneCount: 2, isDirect: true)
        for key in file.allKeys + file.allKeys.reversed() {
            #expect(try use(store, layer: key.layer, [Int32(key.expert)]) == [file.blobs[key]])
        }
    }

    @Test func slotsOfTwoSizesHoldTheirOwn() throws {
        let file = try PagedContainer(hasTwoSizes: true)
        let reader = try ContainerReader(path: file.path)
        let shape = ArenaShape(container: reader, laneCount: 2)
        #expect(shape.classes.count == 2)
        let store = try ExpertStore(container: reader, slotCount: shape.leastSlotCount, laneCount: 2)
        for key in file.allKeys + file.allKeys.reversed() {
            #expect(try use(store, layer: key.layer, [Int32(key.expert)]) == [file.blobs[key]])
        }
    }

    @Test func countersAreExact() throws {
        let file = try PagedContainer()
        let reader = try ContainerReader(path: file.path)
        let store = try ExpertStore(container: reader, slotCount: Self.least, laneCount: 2)
        _ = try use(store, layer: 1, [0, 1, 2])
        _ = try use(store, layer: 1, [0, 1, 3])
        _ = try use(store, layer: 2, [0, 0, 1])
        // 0, 1 of layer 1 have two uses; 2 and 3 one, and 2 is the older.
        _ = try use(store, layer: 1, [0, 1, 2])
        let counters = store.counters
        // Misses: 0 1 2 · 3 · 0 1 of layer 2 (five slots, so the second evicts 2) · 2 again.
        #expect(counters.misses == 7)
        #expect(counters.hits == 12 - 7)
        #expect(counters.evictions == 7 - UInt64(Self.least))
        #expect(counters.reads == 7)
        #expect(counters.failures == 0)
        let loaded = [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (1, 2)]
        let bytes = loaded.compactMap { reader.experts[ExpertKey(layer: $0.0, expert: $0.1)]?.storedByteCount }
        #expect(counters.bytesRead == UInt64(bytes.reduce(0, +)))
        #expect(counters.readDuration > .zero)
        #expect(store.residentCount == Self.least)
    }

    @Test func whatIsHeldStaysWhileEverythingElseTurnsOver() throws {
        let file = try PagedContainer()
        let store = try ExpertStore(
            container: ContainerReader(path: file.path), slotCount: Self.least + 1, laneCount: 1)
        var held: [ExpertStore.Ticket] = []
        try store.acquire(layer: 1, experts: ([7] as [Int32]).span, into: &held)
        let base = try store.wait(held[0])
        for key in file.allKeys where key != ExpertKey(layer: 1, expert: 7) {
            _ = try use(store, layer: key.layer, [Int32(key.expert)])
        }
        let blob = Array(UnsafeRawBufferPointer(start: base, count: store.layout(of: held[0]).byteCount))
        #expect(blob == file.blobs[ExpertKey(layer: 1, expert: 7)])
        #expect(try store.wait(held[0]) == base)
        store.release(&held)
    }

    @Test func hitsAreHeldBeforeMissesEvict() throws {
        let file = try PagedContainer()
        let store = try ExpertStore(container: ContainerReader(path: file.path), slotCount: Self.least, laneCount: 2)
        _ = try use(store, layer: 1, [0, 1, 2])
        _ = try use(store, layer: 1, [3, 4, 3])
        // 0, 1 and 2 have the lowest counts, and yet none of them may make room for 5.
        var tickets: [ExpertStore.Ticket] = []
        try store.acquire(layer: 1, experts: ([5, 0, 1, 2] as [Int32]).span, into: &tickets)
        #expect(tickets.dropFirst().allSatisfy { store.isReady($0) })
        #expect(try tickets.map { try read(store, $0) }.first == file.blobs[ExpertKey(layer: 1, expert: 5)])
        store.release(&tickets)
        #expect(store.counters.hits == 1 + 3)
    }

    @Test func tooManyLeasesAreRefusedAndNothingIsHeld() throws {
        let file = try PagedContainer()
        let store = try ExpertStore(container: ContainerReader(path: file.path), slotCount: Self.least, laneCount: 2)
        #expect(store.leaseLimit == PagedContainer.expertsPerToken)
        var tickets: [ExpertStore.Ticket] = []
        let error = #expect(throws: PagingError.self) {
            try store.acquire(layer: 1, experts: (Array(0..<6) as [Int32]).span, into: &tickets)
        }
        #expect(error?.code == .tooManyLeases)
        #expect(tickets.isEmpty)
        #expect(try use(store, layer: 1, [6, 7, 8]).count == 3)
    }

    @Test(arguments: [0, 1, least - 1])
    func tooFewSlotsAreRefusedByNumber(slotCount: Int) throws {
        let file = try PagedContainer()
        let reader = try ContainerReader(path: file.path)
        let error = #expect(throws: PagingError.self) {
            try ExpertStore(container: reader, slotCount: slotCount, laneCount: 2)
        }
        #expect(error?.code == .tooFewSlots)
        #expect(error?.message.contains("\(Self.least)") == true)
    }

    @Test(arguments: [(0, 0), (4, 0), (1, 12), (1, -1)])
    func unknownExpertsAreRefused(layer: Int, expert: Int32) throws {
        let file = try PagedContainer()
        let store = try ExpertStore(container: ContainerReader(path: file.path), slotCount: Self.all, laneCount: 1)
        let error = #expect(throws: PagingError.self) { try use(store, layer: layer, [expert]) }
        #expect(error?.code == .unknownExpert)
    }

    @Test(arguments: [0, 1])
    func aDamagedBlobFailsOnlyThoseWhoWaitForIt(expert: Int) throws {
        let file = try PagedContainer()
        let reader = try ContainerReader(path: file.path)
        let key = ExpertKey(layer: 2, expert: expert)
        let record = try #require(reader.experts[key])
        #expect((record.codec == .lz4) == (expert == 0))
        try file.flipBit(of: record)
        let store = try ExpertStore(container: reader, slotCount: Self.least, laneCount: 2)
        for _ in 0..<20 {
            var tickets: [ExpertStore.Ticket] = []
            try store.acquire(layer: 2, experts: [Int32(expert), 4, 5].span, into: &tickets)
            let error = #expect(throws: PagingError.self) { try store.wait(tickets[0]) }
            #expect(error?.code == .unreadable)
            #expect(error?.expert == key)
            #expect(error?.cause?.code == .damaged)
            #expect(error?.message.contains("\(record.offset)") == true)
            #expect(try read(store, tickets[1]) == file.blobs[ExpertKey(layer: 2, expert: 4)])
            #expect(store.isReady(tickets[0]))
            store.release(&tickets)
        }
        #expect(store.counters.failures == 20)
        // Mended, it can be read.
        try file.flipBit(of: record)
        #expect(try use(store, layer: 2, [Int32(expert)]) == [file.blobs[key]])
    }

    @Test func aFileThatIsCutUnderTheStoreGivesErrors() throws {
        let file = try PagedContainer()
        let reader = try ContainerReader(path: file.path)
        let store = try ExpertStore(container: reader, slotCount: Self.least, laneCount: 2)
        let last = try #require(reader.experts.values.max { $0.offset < $1.offset })
        #expect(truncate(file.path, off_t(last.offset) + 10) == 0)
        let error = #expect(throws: PagingError.self) {
            try use(store, layer: last.key.layer, [Int32(last.key.expert)])
        }
        #expect(error?.code == .unreadable)
        #expect(try use(store, layer: 1, [1]) == [file.blobs[ExpertKey(layer: 1, expert: 1)]])
    }

    @Test func waitingEndsWhenItIsCancelled() throws {
        let file = try PagedContainer()
        let store = try ExpertStore(container: ContainerReader(path: file.path), slotCount: Self.least, laneCount: 1)
        // The one lane is kept busy by reads in front.
        var (first, second): ([ExpertStore.Ticket], [ExpertStore.Ticket]) = ([], [])
        try store.acquire(layer: 1, experts: ([0, 1, 2] as [Int32]).span, into: &first)
        try store.acquire(layer: 1, experts: ([3] as [Int32]).span, into: &second)
        if !store.isReady(second[0]) {
            let error = #expect(throws: PagingError.self) { try store.wait(second[0], cancelled: { true }) }
            #expect(error?.code == .cancelled)
        }
        store.release(&second)
        store.release(&first)
        #expect(try use(store, layer: 1, [3]) == [file.blobs[ExpertKey(layer: 1, expert: 3)]])
    }

    @Test func abandonedReadsGiveTheirSlotsBack() throws {
        let file = try PagedContainer()
        let store = try ExpertStore(container: ContainerReader(path: file.path), slotCount: Self.least, laneCount: 2)
        var tickets: [ExpertStore.Ticket] = []
        for round in 0..<2000 {
            let experts = (0..<Int32(3)).map { (Int32(round) * 3 + $0) % 12 }
            try store.acquire(layer: 1 + round % 3, experts: experts.span, into: &tickets)
            store.release(&tickets)
        }
        for key in file.allKeys {
            #expect(try use(store, layer: key.layer, [Int32(key.expert)]) == [file.blobs[key]])
        }
        let counters = store.counters
        #expect(counters.hits + counters.misses == 6000 + UInt64(Self.all))
        #expect(counters.reads <= counters.misses)
    }

    /// Random leases of random length, some given up before they are read, over every number of lanes.
    @Test(arguments: [1, 2, 4])
    func tenThousandRandomLeasesHoldTheRightBytes(laneCount: Int) throws {
        let file = try PagedContainer()
        let slotCount = PagedContainer.expertsPerToken + laneCount + 4
        let store = try ExpertStore(
            container: ContainerReader(path: file.path), slotCount: slotCount, laneCount: laneCount)
        var held: [(ExpertStore.Ticket, ExpertKey)] = []
        var tickets: [ExpertStore.Ticket] = []
        var asked: UInt64 = 0
        for _ in 0..<10_000 {
            let layer = Int.random(in: 1...PagedContainer.layerCount)
            let room = min(store.leaseLimit - held.count, 4)
            let experts = (0..<max(0, room)).map { _ in Int32.random(in: 0..<Int32(PagedContainer.expertCount)) }
            try store.acquire(layer: layer, experts: experts.span, into: &tickets)
            asked += UInt64(experts.count)
            held += zip(tickets, experts).map { ($0, ExpertKey(layer: layer, expert: Int($1))) }
            held.shuffle()
            for _ in 0..<Int.random(in: 0...held.count) {
                guard let (ticket, key) = held.popLast() else { break }
                if Int.random(in: 0..<4) > 0 {
                    let blob = try store.wait(ticket)
                    let isEqual = file.blobs[key].map {
                        $0.withUnsafeBytes { memcmp($0.baseAddress!, blob, $0.count) == 0 }
                    }
                    #expect(isEqual == true)
                }
                store.release(ticket)
            }
        }
        for (ticket, _) in held { store.release(ticket) }
        let counters = store.counters
        #expect(counters.hits + counters.misses == asked)
        #expect(counters.failures == 0)
    }

    @Test func letGoOfWhileReadingItStopsItsLanes() throws {
        let file = try PagedContainer()
        let reader = try ContainerReader(path: file.path)
        for _ in 0..<50 {
            let store = try ExpertStore(container: reader, slotCount: Self.least, laneCount: 4 - 2)
            var tickets: [ExpertStore.Ticket] = []
            try store.acquire(layer: 1, experts: ([0, 1, 2] as [Int32]).span, into: &tickets)
        }
    }
}

import Compute
import Container
import ExpertPaging
import Glibc
import TestSupport
import Testing

/// Experts in two planes, paged: with the first alone, and with both, which a lane puts together.
@Suite struct NestedExpertTests {
    /// What the experts are in memory, from the reader, which knows no lanes, parts and slots.
    private func blobs(_ reader: ContainerReader, _ planes: ExpertPlanes) throws -> [ExpertKey: [UInt8]] {
        var blobs: [ExpertKey: [UInt8]] = [:]
        for source in reader.sources(planes: planes) {
            let memory = try AlignedMemory(byteCount: source.byteCount)
            let scratch = try AlignedMemory(byteCount: max(1, source.scratchByteCount))
            try reader.readExpert(
                source, into: memory.base,
                scratch: UnsafeMutableRawBufferPointer(start: scratch.base, count: source.scratchByteCount),
                verify: true)
            blobs[source.key] = Array(UnsafeRawBufferPointer(start: memory.base, count: source.byteCount))
        }
        return blobs
    }

    /// Alike, and both planes of some experts.
    static let allPlanes: [ExpertPlanes] = ExpertPlanes.alike + [.heat(hot)]
    static let hot: Set<ExpertKey> = [
        ExpertKey(layer: 1, expert: 0), ExpertKey(layer: 1, expert: 7), ExpertKey(layer: 2, expert: 3),
        ExpertKey(layer: 3, expert: 0), ExpertKey(layer: 3, expert: 1), ExpertKey(layer: 3, expert: 11),
    ]

    private func use(_ store: ExpertStore, _ key: ExpertKey) throws -> [UInt8] {
        var tickets: [ExpertStore.Ticket] = []
        try store.acquire(layer: key.layer, experts: [Int32(key.expert)].span, into: &tickets)
        defer { store.release(&tickets) }
        let base = try store.wait(tickets[0])
        return Array(UnsafeRawBufferPointer(start: base, count: store.layout(of: tickets[0]).byteCount))
    }

    private func expectTheRightBytes(_ planes: ExpertPlanes, isLarge: Bool, isDirect: Bool) throws {
        let file = try PagedContainer(isLarge: isLarge, isNested: true)
        let reader = try ContainerReader(path: file.path)
        let blobs = try blobs(reader, planes)
        if !isLarge {
            // Every mixture of what is packed and what isn't.
            let codecs = reader.sources(planes: .both).map { [$0.blob.codec, $0.refinement?.codec] }
            #expect(Set(codecs).count == 4)
        }
        let store = try ExpertStore(
            container: reader, slotCount: 12, laneCount: 2, planes: planes, isDirect: isDirect)
        for key in file.allKeys + file.allKeys.reversed() { #expect(try use(store, key) == blobs[key]) }
        #expect(store.counters.failures == 0)
        let stored = reader.sources(planes: planes).reduce(0) { $0 + $1.storedByteCount }
        #expect(store.counters.bytesRead >= UInt64(stored))
    }

    @Test(arguments: allPlanes, [false, true])
    func planesAreReadAndPutTogether(planes: ExpertPlanes, isLarge: Bool) throws {
        try expectTheRightBytes(planes, isLarge: isLarge, isDirect: false)
    }

    @Test(
        .enabled(if: PagedContainer.hasDirectReads, "the temporary directory's file system has no O_DIRECT"),
        arguments: allPlanes, [false, true])
    func planesArePutTogetherPastThePageCache(planes: ExpertPlanes, isLarge: Bool) throws {
        try expectTheRightBytes(planes, isLarge: isLarge, isDirect: true)
    }

    /// Once it was read, an expert that comes first is there, whatever generated tokens and prompts want beside it, until
    /// memory gets short; and what is used with both planes is counted.
    @Test func theHottestStay() throws {
        let file = try PagedContainer(isNested: true)
        let reader = try ContainerReader(path: file.path)
        let blobs = try blobs(reader, .heat(Self.hot))
        let store = try ExpertStore(container: reader, slotCount: 12, laneCount: 2, planes: .heat(Self.hot))
        #expect(store.shape.slotCounts(total: 12) == [6, 6])
        for key in file.allKeys { #expect(try use(store, key) == blobs[key]) }
        #expect(store.counters.refinedUses == 6)
        var tickets: [ExpertStore.Ticket] = []
        var random = SplitMix(seed: 3)
        for round in 0..<200 {
            let layer = 1 + round % PagedContainer.layerCount
            let first = Int32(random.next() % 10)
            try store.acquire(
                layer: layer, experts: [first, first + 1].span, for: round / 50 % 2 == 0 ? .chunk : .step,
                into: &tickets)
            for ticket in tickets { _ = try store.wait(ticket) }
            store.release(&tickets)
            if round % 50 == 49 { store.endChunk() }
        }
        for layer in store.layers {
            for key in Self.hot where key.layer == layer.layer { #expect(layer.isResident[key.expert]) }
        }
        // With 10 slots, the least of both, two of the hottest must go, and come back right.
        while !store.use(slots: 10) {}
        #expect(store.usableSlotCount == 10)
        for key in file.allKeys { #expect(try use(store, key) == blobs[key]) }
    }

    /// The coarse plane is read by parts like any blob. Of what is put together no part is of use before the whole is there.
    @Test(arguments: ExpertPlanes.alike) func onlyWhatIsUsedAsItIsStoredHasParts(planes: ExpertPlanes) throws {
        let file = try PagedContainer(isLarge: true, isNested: true)
        let reader = try ContainerReader(path: file.path)
        let key = ExpertKey(layer: 1, expert: 4)
        let source = try #require(reader.source(of: key, planes: planes))
        let storage = SlowStorage { $0.bytes.lowerBound > 0 || planes == .both }
        let store = try ExpertStore(
            container: reader, slotCount: 20, laneCount: 2, planes: planes, willRead: storage.observer)
        var tickets: [ExpertStore.Ticket] = []
        try store.acquire(layer: 1, experts: [Int32(key.expert)].span, into: &tickets)
        if planes == .coarse {
            #expect(SlowStorage.eventually { store.isReady(tickets[0], .gateUp) })
            #expect(!store.isReady(tickets[0]))
        } else {
            #expect(SlowStorage.eventually { storage.reads(of: key) == 1 })
            #expect(!store.isReady(tickets[0], .gateUp))
        }
        storage.release()
        _ = try store.wait(tickets[0])
        store.release(&tickets)
        let ranges = storage.ranges.map(\.bytes)
        #expect(ranges.count == (planes == .coarse ? 2 : 1))
        #expect(ranges.map(\.count).reduce(0, +) == source.storedByteCount)
    }

    /// Each plane has its checksum, which is compared when the expert is first read.
    @Test(arguments: [0, 1, 2, 3], [false, true])
    func damageInEitherPlaneIsFound(expert: Int, isInRefinement: Bool) throws {
        let file = try PagedContainer(isNested: true)
        let reader = try ContainerReader(path: file.path)
        let blobs = try blobs(reader, .both)
        let key = ExpertKey(layer: 2, expert: expert)
        let source = try #require(reader.source(of: key, planes: .both))
        let refinement = try #require(source.refinement)
        let place = isInRefinement ? Int(refinement.offset - source.offset) + refinement.storedByteCount / 2 : 40
        try file.flipBit(of: source.blob, at: place)
        let store = try ExpertStore(container: reader, slotCount: 6, laneCount: 2, planes: .both)
        for _ in 0..<3 {
            let error = #expect(throws: PagingError.self) { try use(store, key) }
            #expect(error?.code == .unreadable && error?.expert == key)
            #expect(error?.cause?.code == .damaged)
            #expect(error?.message.contains(".refinement") == isInRefinement)
        }
        // With the first planes alone it doesn't matter what the second ones hold.
        if isInRefinement {
            let coarse = try ExpertStore(container: reader, slotCount: 6, laneCount: 2)
            _ = try use(coarse, key)
        }
        // Mended, it can be read.
        try file.flipBit(of: source.blob, at: place)
        #expect(try use(store, key) == blobs[key])
    }

    /// Guesses, which share a lane's scratch with what is asked for meanwhile.
    @Test(arguments: [1, 2, 4], [false, true])
    func guessesDontMixThePlanes(lanes: Int, isLarge: Bool) throws {
        let file = try PagedContainer(isLarge: isLarge, isNested: true)
        let reader = try ContainerReader(path: file.path)
        let blobs = try blobs(reader, .both)
        let store = try ExpertStore(container: reader, slotCount: 24, laneCount: lanes, planes: .both)
        let all = 0..<Int32(PagedContainer.expertCount)
        var tickets: [ExpertStore.Ticket] = []
        for round in 0..<(isLarge ? 200 : 1000) {
            let layer = 1 + round % PagedContainer.layerCount
            let demand: ExpertStore.Demand = round / 60 % 3 == 2 ? .chunk : .step
            let experts = Array(all.shuffled().prefix(3))
            try store.acquire(layer: layer, experts: experts.span, for: demand, into: &tickets)
            let guesses = Array(all.shuffled().prefix(4))
            store.expect(layer: layer % PagedContainer.layerCount + 1, experts: guesses.span, reading: 3, for: demand)
            for (ticket, expert) in zip(tickets, experts) where Int.random(in: 0..<4) > 0 {
                let base = try store.wait(ticket)
                let isEqual = blobs[ExpertKey(layer: layer, expert: Int(expert))].map {
                    $0.withUnsafeBytes { memcmp($0.baseAddress!, base, $0.count) == 0 }
                }
                #expect(isEqual == true)
            }
            store.release(&tickets)
            if round % 60 == 59 { store.endChunk() }
        }
        #expect(store.counters.failures == 0)
    }

    /// Both parts, and both planes, wait for storage of the speed that was asked for.
    @Test func throttledStorageIsAsSlowAsItShouldBe() throws {
        let file = try PagedContainer(isLarge: true, isNested: true)
        let reader = try ContainerReader(path: file.path)
        for planes in ExpertPlanes.alike {
            let bytes = reader.sources(planes: planes).prefix(4).reduce(0) { $0 + $1.storedByteCount }
            let store = try ExpertStore(
                container: reader, slotCount: 20, laneCount: 2, planes: planes,
                willRead: StorageThrottle(bytesPerSecond: 10 * bytes).observer)
            let time = try ContinuousClock().measure {
                for expert in 0..<4 { _ = try use(store, ExpertKey(layer: 1, expert: expert)) }
            }
            #expect(time >= .milliseconds(99))
        }
    }
}

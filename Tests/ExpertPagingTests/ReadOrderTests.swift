import Container
import ExpertPaging
import Glibc
import Testing

/// What is read when: parts in order, what was asked for before what wasn't.
@Suite struct ReadOrderTests {
    private func key(_ layer: Int, _ expert: Int) -> ExpertKey { ExpertKey(layer: layer, expert: expert) }

    private func store(
        _ file: PagedContainer, slots: Int = 20, lanes: Int = 2, _ storage: SlowStorage
    ) throws -> ExpertStore {
        try ExpertStore(
            container: ContainerReader(path: file.path), slotCount: slots, laneCount: lanes,
            willRead: storage.observer)
    }

    private func acquire(
        _ store: ExpertStore, _ layer: Int, _ experts: [Int32]
    ) throws -> [ExpertStore.Ticket] {
        var tickets: [ExpertStore.Ticket] = []
        try store.acquire(layer: layer, experts: experts.span, into: &tickets)
        return tickets
    }

    @Test func gateAndUpCanBeUsedBeforeDownIsThere() throws {
        let file = try PagedContainer(isLarge: true)
        let storage = SlowStorage { $0.bytes.lowerBound > 0 }
        let store = try store(file, storage)
        let tickets = try acquire(store, 1, [4])
        let base = try store.wait(tickets[0], for: .gateUp)
        let blob = try #require(file.blobs[key(1, 4)])
        let count = store.layout(of: tickets[0]).downOffset
        #expect(Array(UnsafeRawBufferPointer(start: base, count: count)) == Array(blob[..<count]))
        #expect(store.isReady(tickets[0], .gateUp) && !store.isReady(tickets[0]))
        storage.release()
        let whole = try store.wait(tickets[0])
        #expect(Array(UnsafeRawBufferPointer(start: whole, count: blob.count)) == blob)
        store.release(tickets[0])
        #expect(store.counters.reads == 1)
        #expect(store.counters.bytesRead == UInt64(blob.count))
    }

    /// Damage in either part shows before the whole is handed out.
    @Test(arguments: [100, 200_000])
    func noWholeIsHandedOutUnverified(place: Int) throws {
        let file = try PagedContainer(isLarge: true)
        let reader = try ContainerReader(path: file.path)
        let record = try #require(reader.experts[key(2, 3)])
        try #require(place < record.storedByteCount)
        try file.flipBit(of: record, at: place)
        let store = try ExpertStore(container: reader, slotCount: 20, laneCount: 2)
        for _ in 0..<10 {
            let tickets = try acquire(store, 2, [3])
            _ = try? store.wait(tickets[0], for: .gateUp)
            let error = #expect(throws: PagingError.self) { try store.wait(tickets[0]) }
            #expect(error?.cause?.code == .damaged)
            store.release(tickets[0])
        }
        #expect(store.counters.failures == 10)
    }

    @Test(arguments: [1, 2, 4])
    func whatIsAskedForFirstIsReadFirst(lanes: Int) throws {
        let file = try PagedContainer(isLarge: true)
        let storage = SlowStorage { _ in true }
        let store = try store(file, lanes: lanes, storage)
        let tickets = try acquire(store, 1, [7, 3, 9])
        #expect(SlowStorage.eventually { storage.ranges.count == lanes })
        func parts() throws -> [Int] {
            try storage.ranges.map {
                2 * (try #require([7, 3, 9].firstIndex(of: $0.key.expert))) + ($0.bytes.lowerBound > 0 ? 1 : 0)
            }
        }
        // Every lane has one of the first parts.
        #expect(try parts().sorted() == Array(0..<lanes))
        storage.release()
        for ticket in tickets { _ = try store.wait(ticket) }
        #expect(try parts().count == 6)
        if lanes == 1 { #expect(try parts() == Array(0..<6)) }
        for ticket in tickets { store.release(ticket) }
    }

    @Test func nothingIsReadAheadWhileSomethingThatWasAskedForIsOnItsWay() throws {
        let file = try PagedContainer(isLarge: true)
        let storage = SlowStorage { $0.key.layer == 1 }
        let store = try store(file, storage)
        let tickets = try acquire(store, 1, [0])
        store.expect(layer: 2, experts: ([5] as [Int32]).span, reading: 1)
        #expect(SlowStorage.eventually { storage.reads(of: key(1, 0)) == 2 })
        usleep(50_000)
        #expect(storage.reads(of: key(2, 5)) == 0)
        storage.release()
        _ = try store.wait(tickets[0])
        #expect(SlowStorage.eventually { storage.reads(of: key(2, 5)) == 2 })
        store.release(tickets[0])
    }

    /// A lane is at a guess when the layer asks for others: it ends the piece that it is at, and does what was asked for.
    @Test(arguments: [1, 2])
    func whatIsAskedForOvertakesAWrongGuess(lanes: Int) throws {
        let file = try PagedContainer(isLarge: true)
        let guess = key(2, 5)
        let storage = SlowStorage { $0.key == ExpertKey(layer: 2, expert: 5) }
        let store = try store(file, lanes: lanes, storage)
        store.expect(layer: 2, experts: ([5] as [Int32]).span, reading: 1)
        #expect(SlowStorage.eventually { storage.reads(of: guess) == 1 })
        let tickets = try acquire(store, 2, [6, 7])
        if lanes > 1 {
            // The other lane needn't wait for it at all.
            for ticket in tickets { _ = try store.wait(ticket) }
        }
        storage.release()
        for ticket in tickets { _ = try store.wait(ticket) }
        for ticket in tickets { store.release(ticket) }
        // The guess's second part is never read, and its slot is free again.
        #expect(SlowStorage.eventually { store.residentCount == 2 })
        usleep(20_000)
        #expect(storage.reads(of: guess) == 1)
        #expect(store.counters.aheadReads == 1 && store.counters.aheadUses == 0)
        #expect(store.layers.first { $0.layer == 2 }?.isResident[5] == false)
    }

    @Test func aRightGuessIsReadOnceAndCountsAsUsed() throws {
        let file = try PagedContainer(isLarge: true)
        let storage = SlowStorage { $0.key == ExpertKey(layer: 2, expert: 5) }
        let store = try store(file, storage)
        store.expect(layer: 2, experts: ([5, 8] as [Int32]).span, reading: 1)
        #expect(SlowStorage.eventually { storage.reads(of: key(2, 5)) == 1 })
        let tickets = try acquire(store, 2, [5])
        storage.release()
        let base = try store.wait(tickets[0])
        let blob = try #require(file.blobs[key(2, 5)])
        #expect(Array(UnsafeRawBufferPointer(start: base, count: blob.count)) == blob)
        store.release(tickets[0])
        let counters = store.counters
        #expect(counters.bytesRead == UInt64(blob.count))
        #expect(counters.hits == 1 && counters.misses == 0)
        #expect(counters.aheadReads == 1 && counters.aheadUses == 1)
        #expect(storage.reads(of: key(2, 8)) == 0)
    }

    @Test func recallIsCountedByLayer() throws {
        let file = try PagedContainer()
        let store = try store(file, SlowStorage())
        for _ in 0..<3 {
            store.expect(layer: 2, experts: ([1, 2, 3, 4] as [Int32]).span, reading: 0)
            for ticket in try acquire(store, 1, [1, 2]) { store.release(ticket) }
            for ticket in try acquire(store, 2, [2, 3, 9]) { store.release(ticket) }
        }
        // Nothing was expected of this.
        for ticket in try acquire(store, 2, [2, 3, 9]) { store.release(ticket) }
        let layers = store.layers
        #expect(layers.map(\.counters.predictedUses) == [0, 9, 0])
        #expect(layers.map(\.counters.recalledUses) == [0, 6, 0])
        #expect(store.counters.predictedUses == 9 && store.counters.recalledUses == 6)
        #expect(store.counters.aheadReads == 0)
    }

    /// Guesses, right and wrong ones, demands that are given up, and prompts in between, over every number of lanes.
    @Test(arguments: [1, 2, 4], [false, true])
    func randomGuessesNeverHandOutTheWrongBytes(lanes: Int, isLarge: Bool) throws {
        let file = try PagedContainer(isLarge: isLarge)
        let store = try store(file, slots: 24, lanes: lanes, SlowStorage())
        var tickets: [ExpertStore.Ticket] = []
        for round in 0..<(isLarge ? 300 : 3000) {
            let layer = 1 + round % PagedContainer.layerCount
            let demand: ExpertStore.Demand = round / 60 % 3 == 2 ? .chunk : .step
            let experts = Array((0..<Int32(PagedContainer.expertCount)).shuffled().prefix(3))
            if demand == .chunk {
                let counts = [Int32](repeating: 2, count: PagedContainer.expertCount)
                store.recordUses(layer: layer, experts: experts.span, counts: counts.span, tokenCount: 5)
            }
            try store.acquire(layer: layer, experts: experts.span, for: demand, into: &tickets)
            let guesses = Array((0..<Int32(PagedContainer.expertCount)).shuffled().prefix(4))
            store.expect(layer: layer % PagedContainer.layerCount + 1, experts: guesses.span, reading: 3, for: demand)
            for (ticket, expert) in zip(tickets, experts) where Int.random(in: 0..<4) > 0 {
                let base = try store.wait(ticket)
                let isEqual = file.blobs[key(layer, Int(expert))].map {
                    $0.withUnsafeBytes { memcmp($0.baseAddress!, base, $0.count) == 0 }
                }
                #expect(isEqual == true)
            }
            store.release(&tickets)
            if round % 60 == 59 { store.endChunk() }
        }
        #expect(store.counters.failures == 0)
        // Every slot can still be had.
        for key in file.allKeys {
            let tickets = try acquire(store, key.layer, [Int32(key.expert)])
            _ = try store.wait(tickets[0])
            store.release(tickets[0])
        }
    }
}

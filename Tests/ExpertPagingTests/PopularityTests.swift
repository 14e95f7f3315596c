import Container
import ExpertPaging
import Glibc
import TestSupport
import Testing

@Suite struct PopularityTests {
    private let directory: TemporaryDirectory
    private let path: String
    private let sample = PopularityFile(identity: 0x1234_5678_9ABC_DEF0, popularity: [0, 1.5, 3, 1e6])

    init() throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/model.heat"
    }

    private func bytes() throws -> [UInt8] {
        let file = try #require(fopen(path, "r"))
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        return Array(buffer.prefix(fread(&buffer, 1, buffer.count, file)))
    }

    private func put(_ bytes: [UInt8]) throws {
        let file = try #require(fopen(path, "w"))
        defer { fclose(file) }
        #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    }

    private func read(identity: UInt64? = nil, expertCount: Int = 4) throws -> PopularityFile? {
        try PopularityFile.read(path: path, identity: identity ?? sample.identity, expertCount: expertCount)
    }

    @Test func whatIsWrittenIsRead() throws {
        #expect(try read() == nil)
        try sample.write(path: path)
        #expect(try read() == sample)
        var later = sample
        later.popularity = [4, 3, 2, 1]
        try later.write(path: path)
        #expect(try read() == later)
        #expect(access("\(path).partial", F_OK) != 0)
    }

    @Test func anotherModelsFileIsRefused() throws {
        try sample.write(path: path)
        for (identity, count) in [(1 as UInt64, 4), (sample.identity, 5), (sample.identity, 0)] {
            let error = #expect(throws: PagingError.self) { try read(identity: identity, expertCount: count) }
            #expect(error?.code == .badPopularity)
            #expect(error?.message.contains("another model") == true)
        }
    }

    @Test func everyCutAndEveryFlippedBitIsNoticed() throws {
        try sample.write(path: path)
        let whole = try bytes()
        for count in 0..<whole.count {
            try put(Array(whole.prefix(count)))
            #expect(throws: PagingError.self, "\(count) bytes") { try read() }
        }
        for bit in 0..<8 * whole.count {
            var damaged = whole
            damaged[bit / 8] ^= 1 << UInt8(bit % 8)
            try put(damaged)
            #expect(throws: PagingError.self, "bit \(bit)") { try read() }
        }
        try put(whole + [0])
        #expect(throws: PagingError.self) { try read() }
    }

    @Test(arguments: [Float.nan, .infinity, -1, -.infinity])
    func impossibleNumbersAreRefused(value: Float) throws {
        try PopularityFile(identity: sample.identity, popularity: [1, 2, 3, value]).write(path: path)
        #expect(throws: PagingError.self) { try read() }
    }

    @Test func whatIsNoFileIsRefusedAtOnce() throws {
        #expect(mkfifo(path, 0o600) == 0)
        #expect(throws: PagingError.self) { try read() }
        #expect(unlink(path) == 0)
        #expect(mkdir(path, 0o700) == 0)
        #expect(throws: PagingError.self) { try read() }
        #expect(throws: PagingError.self) { try sample.write(path: path) }
        #expect(throws: PagingError.self) { try sample.write(path: "\(directory.path)/none/model.heat") }
    }

    @Test func theHottestAreInMemoryBeforeAnybodyAsks() throws {
        let file = try PagedContainer()
        let reader = try ContainerReader(path: file.path)
        let first = try ExpertStore(container: reader, slotCount: 8, laneCount: 2)
        var tickets: [ExpertStore.Ticket] = []
        for _ in 0..<10 {
            for layer in 1...PagedContainer.layerCount {
                try first.acquire(layer: layer, experts: ([2, Int32(layer + 4)] as [Int32]).span, into: &tickets)
                first.release(&tickets)
            }
        }
        try first.popularity.write(path: path)

        let known = try PopularityFile.read(path: path, identity: reader.indexChecksum, expertCount: 36)
        let second = try ExpertStore(container: reader, slotCount: 8, laneCount: 2)
        second.warm(with: try #require(known))
        for _ in 0..<1000 where second.counters.guessedReads < 6 || second.counters.reads < 6 { usleep(5000) }
        for layer in second.layers {
            #expect(layer.isResident.indices.filter { layer.isResident[$0] } == [2, layer.layer + 4])
        }
        for layer in 1...PagedContainer.layerCount {
            try second.acquire(layer: layer, experts: ([2, Int32(layer + 4)] as [Int32]).span, into: &tickets)
            let blob = try second.wait(tickets[0])
            let bytes = UnsafeRawBufferPointer(start: blob, count: second.layout(of: tickets[0]).byteCount)
            #expect(Array(bytes) == file.blobs[ExpertKey(layer: layer, expert: 2)])
            second.release(&tickets)
        }
        #expect(second.counters.hits == 6)
        #expect(second.counters.misses == 0)
        #expect(second.counters.guessedReads == 6)
    }

    @Test func guessesEvictNothingAndStopForThoseWhoAsk() throws {
        let file = try PagedContainer()
        let reader = try ContainerReader(path: file.path)
        let store = try ExpertStore(container: reader, slotCount: 5, laneCount: 2)
        store.warm(
            with: PopularityFile(identity: reader.indexChecksum, popularity: (0..<36).map { Float($0 + 1) }))
        for _ in 0..<1000 where store.counters.reads < 5 { usleep(5000) }
        #expect(store.counters.guessedReads == 5)
        #expect(store.counters.evictions == 0)
        #expect(store.residentCount == 5)
        var tickets: [ExpertStore.Ticket] = []
        try store.acquire(layer: 1, experts: ([0, 1, 2] as [Int32]).span, into: &tickets)
        for (ticket, expert) in zip(tickets, 0..<3) {
            let blob = try store.wait(ticket)
            let bytes = UnsafeRawBufferPointer(start: blob, count: store.layout(of: ticket).byteCount)
            #expect(Array(bytes) == file.blobs[ExpertKey(layer: 1, expert: expert)])
        }
        store.release(&tickets)
        // What was used is not forgotten for what another run used.
        let learnt = store.popularity.popularity
        store.warm(with: PopularityFile(identity: reader.indexChecksum, popularity: Array(repeating: 9, count: 36)))
        #expect(store.popularity.popularity == learnt)
    }
}

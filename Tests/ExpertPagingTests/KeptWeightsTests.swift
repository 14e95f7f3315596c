import CSystemd
import Compute
import Container
import ExpertPaging
import Glibc
import Testing

@Suite struct KeptWeightsTests {
    private static let all = PagedContainer.layerCount * PagedContainer.expertCount
    private let file: PagedContainer
    private let reader: ContainerReader

    init() throws {
        file = try PagedContainer()
        reader = try ContainerReader(path: file.path)
    }

    private func layout(slotCount: Int = all) throws -> KeptWeights.Layout {
        KeptWeights.Layout(
            identity: reader.indexChecksum, denseByteCount: 100_000,
            arenaByteCount: try #require(ArenaShape(container: reader, laneCount: 2).byteCount(slotCount: slotCount)),
            slotCount: slotCount)
    }

    private func memory() -> Int32 { memfd_create("test", 3) }

    private func store(_ kept: KeptWeights) throws -> ExpertStore {
        try ExpertStore(container: reader, slotCount: kept.layout.slotCount, laneCount: 2, kept: kept)
    }

    private func use(_ store: ExpertStore, _ key: ExpertKey) throws -> [UInt8] {
        var tickets: [ExpertStore.Ticket] = []
        try store.acquire(layer: key.layer, experts: [Int32(key.expert)].span, into: &tickets)
        defer { store.release(&tickets) }
        let base = try store.wait(tickets[0])
        return Array(UnsafeRawBufferPointer(start: base, count: store.layout(of: tickets[0]).byteCount))
    }

    /// A store of the whole arena that used these experts, and is gone; its memory.
    private func left(using keys: [ExpertKey], slotCount: Int = all) throws -> Int32 {
        let descriptor = memory()
        let kept = try KeptWeights(new: dup(descriptor), layout: layout(slotCount: slotCount))
        let store = try store(kept)
        for key in keys { _ = try use(store, key) }
        return descriptor
    }

    @Test(arguments: [all, 10])
    func expertsAreFoundWithoutARead(slotCount: Int) throws {
        let descriptor = try left(using: file.allKeys, slotCount: slotCount)
        let claim = try KeptWeights.claim(of: descriptor)
        #expect(claim.layout == (try layout(slotCount: slotCount)))
        #expect(claim.runCount == 0 && claim.residentByteCount > 0)
        let store = try store(KeptWeights(adopting: descriptor, claim))
        #expect(store.adoptKept(on: ThreadPool(threadCount: 2)).expertCount == slotCount)
        #expect(store.residentCount == slotCount)
        let resident = store.layers.flatMap { layer in
            layer.isResident.enumerated().filter(\.element).map { ExpertKey(layer: layer.layer, expert: $0.offset) }
        }
        #expect(resident.count == slotCount)
        for key in resident { #expect(try use(store, key) == file.blobs[key]) }
        #expect(store.counters.reads == 0)
        for key in file.allKeys { #expect(try use(store, key) == file.blobs[key]) }
    }

    @Test func whatDoesntHaveItsChecksumIsntUsed() throws {
        let descriptor = try left(using: file.allKeys)
        var status = stat()
        #expect(fstat(descriptor, &status) == 0)
        let arena = Int(status.st_size) - (try layout().arenaByteCount)
        // The first bytes of two slots, one of them that of a packed expert.
        let slotByteCount = (try layout().arenaByteCount) / Self.all
        for slot in [0, 1] {
            var byte: UInt8 = 0
            let place = off_t(arena + slot * slotByteCount)
            #expect(pread(descriptor, &byte, 1, place) == 1)
            byte ^= 1
            #expect(pwrite(descriptor, &byte, 1, place) == 1)
        }
        let store = try store(KeptWeights(adopting: descriptor, KeptWeights.claim(of: descriptor)))
        let adoption = store.adoptKept(on: ThreadPool(threadCount: 2))
        #expect(adoption.damagedCount == 2 && adoption.expertCount == Self.all - 2)
        for key in file.allKeys { #expect(try use(store, key) == file.blobs[key]) }
        #expect(store.counters.reads == 2)
    }

    @Test func aSlotThatIsntCompleteIsntFound() throws {
        let descriptor = try left(using: file.allKeys)
        let kept = try KeptWeights(adopting: dup(descriptor), KeptWeights.claim(of: descriptor))
        for slot in [3, 7, 8] { kept.clear(slot) }
        let store = try store(kept)
        #expect(store.adoptKept(on: ThreadPool(threadCount: 1)).expertCount == Self.all - 3)
        #expect(try KeptWeights.claim(of: descriptor).runCount == 1)
        kept.noteLasting()
        #expect(try KeptWeights.claim(of: descriptor).runCount == 0)
        kept.killCount = 7
        #expect(try KeptWeights.claim(of: descriptor).killCount == 7)
    }

    @Test func whatWasGivenBackIsntFound() throws {
        let descriptor = memory()
        let before: Int
        do {
            let store = try store(KeptWeights(new: dup(descriptor), layout: layout()))
            for key in file.allKeys { _ = try use(store, key) }
            before = try KeptWeights.claim(of: descriptor).residentByteCount
            #expect(store.use(slots: 9))
        }
        let claim = try KeptWeights.claim(of: descriptor)
        #expect(claim.residentByteCount < before)
        let store = try store(KeptWeights(adopting: descriptor, claim))
        #expect(store.adoptKept(on: ThreadPool(threadCount: 2)).expertCount == 9)
        for key in file.allKeys { #expect(try use(store, key) == file.blobs[key]) }
    }

    @Test(arguments: [0, 8, 24, 32, 40])
    func aDamagedHeaderIsRefused(place: Int) throws {
        let descriptor = try left(using: [])
        defer { close(descriptor) }
        var byte: UInt8 = 0
        #expect(pread(descriptor, &byte, 1, off_t(place + 3)) == 1)
        byte ^= 0x40
        #expect(pwrite(descriptor, &byte, 1, off_t(place + 3)) == 1)
        let error = #expect(throws: PagingError.self) { try KeptWeights.claim(of: descriptor) }
        #expect(error?.code == .badKept)
    }

    @Test func memoryThatCouldBeCutIsRefused() throws {
        let descriptor = memory()
        defer { close(descriptor) }
        #expect(ftruncate(descriptor, 1 << 20) == 0)
        let error = #expect(throws: PagingError.self) { try KeptWeights.claim(of: descriptor) }
        #expect(error?.message.contains("fixed size") == true)
    }
}

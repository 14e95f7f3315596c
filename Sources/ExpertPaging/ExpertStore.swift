import Compute
package import Container
import Synchronization

/// The routed experts of one container, as many in memory as there are slots, the others on storage.
///
/// The engine asks for the experts of a layer with `acquire`, which never waits for storage, computes those that are
/// ready, waits for the others, and releases each. Lanes (threads) read what is missing, in the order it was asked for.
///
///     try store.acquire(layer: layer, experts: chosen, into: &tickets)
///     for ticket in tickets where store.isReady(ticket) { … }
///     for ticket in tickets where … { let blob = try store.wait(ticket, cancelled: { … }) … }
///     for ticket in tickets { store.release(ticket) }
///
/// A read that fails fails the `wait`s for that expert; the store goes on, and the next `acquire` of the expert reads
/// it again. Nothing here allocates after `init`.
///
/// `acquire`, `wait` and `release` belong to one thread, the engine's; the counters may be read from anywhere.
package final class ExpertStore: Sendable {
    /// A hold on an expert's slot. Each one that `acquire` hands out is released exactly once.
    package struct Ticket: Sendable {
        let slot: Int32
        let index: Int32
    }

    package let shape: ArenaShape
    /// Slots in the arena; never more than experts.
    package let slotCount: Int
    package let arenaByteCount: Int
    /// The most tickets that may be held at a time. Lanes can be busy with reads that nobody wants any more, so it is
    /// smaller than `slotCount` by the lanes, unless every expert has a slot.
    package let leaseLimit: Int

    let core: PagingCore
    private let lanes: [WorkerThread]
    /// [layers]: index of the layer's first expert, -1 for a dense layer.
    let firstIndices: [Int]
    let expertsPerLayer: Int

    package static let defaultLaneCount = 2

    /// Makes the arena and starts the lanes; reads nothing yet.
    package init(container: ContainerReader, slotCount wanted: Int, laneCount: Int) throws(PagingError) {
        let configuration = container.metadata.configuration
        let shape = ArenaShape(container: container, laneCount: laneCount)
        guard laneCount >= 1, let counts = shape.slotCounts(total: wanted),
            let byteCount = shape.byteCount(slotCount: wanted)
        else {
            throw PagingError(
                .tooFewSlots,
                "\(wanted) expert slots were given and \(shape.leastSlotCount) is the least: "
                    + "\(shape.expertsPerToken) experts a token and \(laneCount) reading lanes")
        }

        let (records, firstIndices) = try Self.records(of: container)
        var offsets: [Int] = []
        var end = 0
        for (sizeClass, count) in zip(shape.classes, counts) {
            for _ in 0..<count {
                offsets.append(end)
                end += sizeClass.slotByteCount
            }
        }
        let packed = records.filter { $0.codec != .stored }.map(\.storedByteCount).max()
        let arena: AlignedMemory
        var scratch: [AlignedMemory?] = []
        do {
            arena = try AlignedMemory(
                byteCount: max(1, byteCount), alignment: ArenaShape.pageByteCount, wantsHugePages: true)
            for _ in 0..<laneCount {
                scratch.append(
                    try packed.map { (byteCount) throws(ComputeError) in try AlignedMemory(byteCount: byteCount) })
            }
        } catch {
            throw PagingError(.outOfMemory, "the arena for \(wanted) expert slots, \(byteCount) bytes: \(error)")
        }

        let core = PagingCore(
            container: container, records: records, arena: arena, slotOffsets: offsets,
            table: SlotTable(
                sizeClasses: records.map { UInt8(shape.sizeClass(ofBlob: $0.byteCount) ?? 0) },
                expertsPerLayer: configuration.experts?.routedExpertCount ?? 0, slotCounts: counts,
                expertsPerToken: shape.expertsPerToken), layerCount: firstIndices.count)

        var lanes: [WorkerThread] = []
        for (index, scratch) in scratch.enumerated() where !records.isEmpty {
            do {
                lanes.append(
                    try WorkerThread(name: "moed-lane-\(index)", stackByteCount: 512 << 10) {
                        core.runLane(scratch: scratch)
                    })
            } catch {
                Self.stop(lanes, of: core)
                throw PagingError(.noThread, "a reading lane: \(error)")
            }
        }

        self.shape = shape
        self.core = core
        self.lanes = lanes
        self.firstIndices = firstIndices
        slotCount = offsets.count
        arenaByteCount = byteCount
        expertsPerLayer = configuration.experts?.routedExpertCount ?? 0
        leaseLimit =
            zip(shape.classes, counts)
            .filter { sizeClass, count in count < sizeClass.expertCount }
            .map { $1 - laneCount }.min() ?? records.count
    }

    deinit { Self.stop(lanes, of: core) }

    /// Every sparse layer's experts in order, and where each layer's begin.
    private static func records(
        of container: ContainerReader
    ) throws(PagingError) -> (records: [ExpertRecord], firstIndices: [Int]) {
        let configuration = container.metadata.configuration
        var records: [ExpertRecord] = []
        var firstIndices: [Int] = []
        for (layer, isSparse) in configuration.sparseLayers.enumerated() {
            firstIndices.append(isSparse ? records.count : -1)
            guard isSparse, let experts = configuration.experts else { continue }
            for expert in 0..<experts.routedExpertCount {
                let key = ExpertKey(layer: layer, expert: expert)
                guard let record = container.experts[key] else {
                    throw PagingError(.unknownExpert, "\(container.path) has no \(key)", expert: key)
                }
                records.append(record)
            }
        }
        return (records, firstIndices)
    }

    private static func stop(_ lanes: [WorkerThread], of core: PagingCore) {
        core.monitor.lock()
        core.isStopping = true
        core.workArrived.broadcast()
        core.monitor.unlock()
        for lane in lanes { lane.join() }
    }

    /// Where the matrices stand in the ticket's blob.
    package func layout(of ticket: Ticket) -> ExpertLayout { core.records[Int(ticket.index)].layout }

    /// Experts in memory now.
    package var residentCount: Int {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        return core.table.residentCount
    }

    package var counters: PagingCounters {
        var counters = PagingCounters()
        counters.hits = core.hits.load(ordering: .relaxed)
        counters.misses = core.misses.load(ordering: .relaxed)
        counters.evictions = core.evictions.load(ordering: .relaxed)
        counters.reads = core.reads.load(ordering: .relaxed)
        counters.guessedReads = core.guessedReads.load(ordering: .relaxed)
        counters.substitutions = core.substitutions.load(ordering: .relaxed)
        counters.drops = core.drops.load(ordering: .relaxed)
        counters.failures = core.failures.load(ordering: .relaxed)
        counters.bytesRead = core.bytesRead.load(ordering: .relaxed)
        counters.readDuration = .nanoseconds(core.readNanoseconds.load(ordering: .relaxed))
        counters.stallDuration = .nanoseconds(core.stallNanoseconds.load(ordering: .relaxed))
        return counters
    }
}

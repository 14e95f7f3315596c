import Compute
package import Container
import Synchronization

/// The routed experts of one container, as many in memory as there are slots, the others on storage.
///
/// The engine asks for the experts of a layer with `acquire`, which never waits for storage, computes those that are
/// ready, waits for the others, and releases each. Lanes (threads) read what is missing, in the order it was asked for, large
/// experts in two parts, `gate` and `up` first; what nobody asked for (`expect`, `warm`) waits for it. Spare lanes read only
/// while storage hangs in all others.
///
///     try store.acquire(layer: layer, experts: chosen, into: &tickets)
///     store.expect(layer: next, experts: predicted, reading: 4)
///     for ticket in tickets where store.isReady(ticket) { … }
///     for ticket in tickets where … { let blob = try store.wait(ticket, cancelled: { … }) … }
///     for ticket in tickets { store.release(ticket) }
///
/// A read that fails fails the `wait`s for that expert; the store goes on, and the next `acquire` of the expert reads
/// it again. Nothing here allocates after `init`.
///
/// `acquire`, `expect`, `wait` and `release` belong to one thread, the engine's; the counters may be read from anywhere.
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

    let core: PagingCore
    private let lanes: [WorkerThread]
    /// [layers]: index of the layer's first expert, -1 for a dense layer.
    let firstIndices: [Int]
    let expertsPerLayer: Int

    package static let defaultLaneCount = 2
    static let spareLaneCount = 2
    /// Experts of a prompt's chunk that are worth holding at a time: enough rows to multiply together. Two such waves are held,
    /// one that is computed and one that is read.
    package static let mostOfChunkWave = 16

    /// Makes the arena and starts the lanes; reads nothing yet.
    ///
    /// - Parameters:
    ///   - planes: which are used of each expert as long as the store lives.
    ///   - isDirect: whether experts are read past the page cache.
    ///   - kept: has the arena in it, of exactly the size that so many slots take.
    ///   - willRead: called by a lane before each read.
    package init(
        container: ContainerReader, slotCount wanted: Int, laneCount: Int, planes: ExpertPlanes = .coarse,
        isDirect: Bool = false, kept: KeptWeights? = nil, willRead: ReadObserver? = nil
    ) throws(PagingError) {
        let configuration = container.metadata.configuration
        let shape = ArenaShape(container: container, planes: planes, laneCount: laneCount)
        guard laneCount >= 1, let counts = shape.slotCounts(total: wanted),
            let byteCount = shape.byteCount(slotCount: wanted)
        else {
            throw PagingError(
                .tooFewSlots,
                "\(wanted) expert slots were given and \(shape.leastSlotCount) is the least: "
                    + "\(shape.expertsPerToken) experts a token and \(laneCount) reading lanes")
        }

        if let layout = kept?.layout, layout.slotCount != counts.reduce(0, +) || layout.arenaByteCount != byteCount {
            throw PagingError(
                .badKept,
                "memory was kept for \(layout.slotCount) slots in \(layout.arenaByteCount) bytes, and "
                    + "\(counts.reduce(0, +)) in \(byteCount) are wanted")
        }

        let (sources, firstIndices) = try Self.sources(of: container, planes)
        var offsets: [Int] = []
        var end = 0
        for (sizeClass, count) in zip(shape.classes, counts) {
            for _ in 0..<count {
                offsets.append(end)
                end += sizeClass.slotByteCount
            }
        }
        let scratchByteCount = BlobFile.scratchByteCount(of: sources)
        let arena: AlignedMemory
        var scratch: [AlignedMemory?] = []
        do {
            arena =
                try kept?.arena
                ?? AlignedMemory(
                    byteCount: max(1, byteCount), alignment: ArenaShape.pageByteCount, wantsHugePages: true)
            for _ in 0..<laneCount + Self.spareLaneCount {
                try scratch.append(
                    scratchByteCount > 0
                        ? AlignedMemory(byteCount: scratchByteCount, alignment: ArenaShape.pageByteCount) : nil)
            }
        } catch {
            throw PagingError(.outOfMemory, "the arena for \(wanted) expert slots, \(byteCount) bytes: \(error)")
        }
        let file: BlobFile
        do {
            file = try BlobFile(container, isDirect: isDirect)
        } catch {
            throw PagingError(.unreadable, "the experts can't be read: \(error)", cause: error)
        }

        let limits = LeaseLimits(shape: shape, slotCounts: counts, laneCount: laneCount)
        let core = PagingCore(
            file: file, sources: sources, arena: arena, kept: kept, slotOffsets: offsets,
            table: SlotTable(
                sizeClasses: sources.map { UInt8(shape.sizeClass(ofBlob: $0.byteCount) ?? 0) },
                expertsPerLayer: configuration.experts?.routedExpertCount ?? 0, slotCounts: counts,
                expertsPerToken: shape.expertsPerToken, partCounts: sources.map { PagingCore.split($0) == nil ? 1 : 2 },
                passingReserve: min(2 * Self.mostOfChunkWave + limits.ahead, limits.leases / 2)),
            layerCount: firstIndices.count, laneCount: laneCount, limits: limits, willRead: willRead)

        var lanes: [WorkerThread] = []
        for (index, scratch) in scratch.enumerated() where !sources.isEmpty {
            do {
                lanes.append(
                    try WorkerThread(name: "moed-lane-\(index)", stackByteCount: 512 << 10) {
                        if index < laneCount {
                            core.runLane(scratch: scratch)
                        } else {
                            core.runSpareLane(index - laneCount, scratch: scratch)
                        }
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
    }

    deinit { Self.stop(lanes, of: core) }

    /// Every sparse layer's experts in order, and where each layer's begin.
    private static func sources(
        of container: ContainerReader, _ planes: ExpertPlanes
    ) throws(PagingError) -> (sources: [ExpertSource], firstIndices: [Int]) {
        let configuration = container.metadata.configuration
        var sources: [ExpertSource] = []
        var firstIndices: [Int] = []
        for (layer, isSparse) in configuration.sparseLayers.enumerated() {
            firstIndices.append(isSparse ? sources.count : -1)
            guard isSparse, let experts = configuration.experts else { continue }
            for expert in 0..<experts.routedExpertCount {
                let key = ExpertKey(layer: layer, expert: expert)
                guard let source = container.source(of: key, planes: planes) else {
                    throw PagingError(.unknownExpert, "\(container.path) has no \(key)", expert: key)
                }
                sources.append(source)
            }
        }
        return (sources, firstIndices)
    }

    private static func stop(_ lanes: [WorkerThread], of core: PagingCore) {
        core.monitor.lock()
        core.isStopping = true
        core.workArrived.broadcast()
        core.spareWanted.broadcast()
        core.monitor.unlock()
        for lane in lanes { lane.join() }
    }

    /// Where the matrices stand in the ticket's blob.
    package func layout(of ticket: Ticket) -> ExpertLayout { core.sources[Int(ticket.index)].layout }

    /// Experts in memory now.
    package var residentCount: Int {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        return core.table.residentCount
    }

    /// Whether storage is asked for anything once every expert was used: with a slot an expert it isn't.
    package var isPaged: Bool { slotCount < core.sources.count }

    package var counters: PagingCounters {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        var counters = PagingCounters()
        for layer in core.layerCounters {
            counters.hits += layer.hits
            counters.misses += layer.uses - layer.hits
            counters.refinedUses += layer.refinedUses
            counters.reads += layer.reads
            counters.bytesRead += layer.bytesRead
            counters.stallDuration += .nanoseconds(layer.stallNanoseconds)
            counters.predictedUses += layer.predictedUses
            counters.recalledUses += layer.recalledUses
            counters.aheadReads += layer.aheadReads
            counters.aheadUses += layer.aheadUses
        }
        counters.readsAhead = canReadAhead && core.gate.isOn
        counters.evictions = core.evictions.load(ordering: .relaxed)
        counters.guessedReads = core.guessedReads.load(ordering: .relaxed)
        counters.substitutions = core.substitutions.load(ordering: .relaxed)
        counters.drops = core.drops.load(ordering: .relaxed)
        counters.failures = core.failures.load(ordering: .relaxed)
        counters.readDuration = .nanoseconds(core.readNanoseconds.load(ordering: .relaxed))
        return counters
    }
}

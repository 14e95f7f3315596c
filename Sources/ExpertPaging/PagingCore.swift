import Compute
package import Container
import Synchronization

/// What the engine's thread and the lanes share. Lanes keep it alive, not the store, so that dropping the store can
/// stop them.
final class PagingCore: @unchecked Sendable {
    // Sendable: what is `var` is touched only while `monitor` is locked; everything else is constant or atomic. A slot's
    // bytes are written by the lanes that are reading its parts and read only by its holders once those are there, and the
    // monitor orders the two.
    let file: BlobFile
    /// [experts]
    let sources: [ExpertSource]
    let arena: AlignedMemory
    /// What the arena is a part of when it outlives the process.
    let kept: KeptWeights?
    /// [slots]: offset in the arena.
    let slotOffsets: [Int]
    let laneCount: Int
    /// What a lane calls before each call of pread(2).
    let willRead: ReadObserver?

    let monitor = Monitor()
    let workArrived = Monitor.Condition()
    let partArrived = Monitor.Condition()
    let spareWanted = Monitor.Condition()
    var table: SlotTable
    /// [experts]: whether its checksum was found right once, and the file's state then. A file that was written to
    /// since is another one: nothing of it is used unseen.
    var verified: [Bool]
    var verifiedStamp: FileStamp?
    /// [layers]
    var layerCounters: [LayerCounters]
    var capacity: ArenaCapacity
    var isStopping = false
    /// Experts to read while nothing is asked for, the hottest last.
    var guesses: [Int32] = []
    /// What routers are expected to choose next, for generated tokens and for a prompt's chunk.
    var expectedOfSteps: Expectation
    var expectedOfChunk: Expectation
    /// The layer that a chunk asked for last; -1 when no chunk is under way. And how often others have asked since.
    var chunkLayer = -1
    var stepsSinceChunk = 0
    /// Lanes that read what was asked for, spare ones among them, and lanes that read what is expected.
    var busyCount = 0
    var spareBusyCount = 0
    var aheadCount = 0
    /// For the slots that may be used at present.
    var limits: LeaseLimits
    /// Whether experts are read ahead for generated tokens, and what was waited in all when the last token was through.
    var gate = LookaheadGate()
    var stallNanoseconds: UInt64 = 0
    var stallOfEarlierSteps: UInt64 = 0
    var missesOfEarlierSteps: UInt64 = 0
    var missCount: UInt64 = 0
    /// When the last experts were asked for; kept up only while there are guesses.
    var lastDemand = ContinuousClock.now

    /// How long nothing must have been asked for until guesses are read: longer than a token takes on slow machines
    /// between two layers, so that no answer waits behind one.
    static let idleMilliseconds = 250
    /// Blobs below this are read in one part: the second call would cost more than starting early gains.
    static let leastDividedByteCount = 128 << 10

    let evictions = Atomic<UInt64>(0)
    let failures = Atomic<UInt64>(0)
    let readNanoseconds = Atomic<UInt64>(0)
    let guessedReads = Atomic<UInt64>(0)
    let substitutions = Atomic<UInt64>(0)
    let drops = Atomic<UInt64>(0)

    init(
        file: BlobFile, sources: [ExpertSource], arena: AlignedMemory, kept: KeptWeights?, slotOffsets: [Int],
        table: SlotTable, layerCount: Int, laneCount: Int, limits: LeaseLimits, willRead: ReadObserver?
    ) {
        self.file = file
        self.sources = sources
        self.arena = arena
        self.kept = kept
        self.slotOffsets = slotOffsets
        self.table = table
        self.laneCount = laneCount
        self.limits = limits
        self.willRead = willRead
        capacity = ArenaCapacity(target: table.usableCounts)
        verified = Array(repeating: false, count: sources.count)
        verifiedStamp = file.container.stamp
        layerCounters = Array(repeating: LayerCounters(), count: layerCount)
        expectedOfSteps = Expectation(expertCount: sources.count)
        expectedOfChunk = Expectation(expertCount: sources.count)
    }

    func address(of slot: Int) -> UnsafeMutableRawPointer {
        unsafe arena.base + slotOffsets[slot]
    }

    /// Stored bytes of the first of two parts: `gate` and `up`, up to the next whole page. nil for what is read in one: small
    /// blobs, and what isn't used as it is stored and so is of no use before the whole is there.
    static func split(_ source: ExpertSource) -> Int? {
        let split = BlobFile.paged(source.layout.downOffset)
        guard source.isStored, source.storedByteCount >= leastDividedByteCount, split < source.storedByteCount
        else { return nil }
        return split
    }

    func range(of read: SlotTable.Read) -> Range<Int> {
        let source = sources[read.expert]
        guard let split = Self.split(source) else { return 0..<source.storedByteCount }
        return read.part == 0 ? 0..<split : split..<source.storedByteCount
    }
}

/// Told by a lane of every range of an expert's stored bytes before it reads it, and may keep it waiting: for tests, and to
/// measure with storage that is slower (`StorageThrottle`).
package typealias ReadObserver = @Sendable (ExpertKey, Range<Int>) -> Void

extension ContinuousClock.Instant {
    var nanosecondsUntilNow: UInt64 {
        let duration = duration(to: .now)
        return UInt64(max(0, duration.components.seconds)) * 1_000_000_000
            + UInt64(max(0, duration.components.attoseconds)) / 1_000_000_000
    }
}

import Compute
package import Container
import Glibc
import Synchronization

/// How fast a container's experts can be read here: one second of reads of whole experts in random order, by one, two
/// and four lanes, through the page cache (whose copies are dropped first) and past it.
package struct StorageProbe: Sendable {
    package struct Sample: Sendable, Equatable {
        package let laneCount: Int
        /// Past the page cache (`O_DIRECT`).
        package let isDirect: Bool
        package let bytesPerSecond: Double
        /// Until one expert is there.
        package let latency: Duration

        package init(laneCount: Int, isDirect: Bool, bytesPerSecond: Double, latency: Duration) {
            self.laneCount = laneCount
            self.isDirect = isDirect
            self.bytesPerSecond = bytesPerSecond
            self.latency = latency
        }
    }

    /// Bytes of one read: the middle of the experts' sizes as they are stored.
    package let readByteCount: Int
    /// Without the direct ones where the file system doesn't have them.
    package let samples: [Sample]

    package var best: Sample? { samples.max { $0.bytesPerSecond < $1.bytesPerSecond } }

    /// How experts are to be read: with two lanes at least, so that both parts of one can be read at a time and a guess
    /// doesn't stand in the way. Of what is nearly as fast as the fastest, reading past the page cache comes first, which costs no
    /// copy and no memory beside the arena, and then the fewest lanes.
    package var choice: Sample? {
        let candidates = samples.filter { $0.laneCount >= ExpertStore.defaultLaneCount }
        let fastest = candidates.map(\.bytesPerSecond).max() ?? 0
        return candidates.filter { $0.bytesPerSecond >= Self.nearly * fastest }
            .min { ($0.isDirect ? 0 : 1, $0.laneCount) < ($1.isDirect ? 0 : 1, $1.laneCount) }
    }

    private static let nearly = 0.95

    package static let laneCounts = [1, 2, 4]

    package init(readByteCount: Int, samples: [Sample]) {
        self.readByteCount = readByteCount
        self.samples = samples
    }

    /// Throws `.unreadable` if the file can't be read.
    package init(
        container: ContainerReader, planes: ExpertPlanes = .coarse, duration: Duration = .seconds(1)
    ) throws(PagingError) {
        let extents = container.sources(planes: planes).map { (offset: Int($0.offset), byteCount: $0.storedByteCount) }
            .sorted { $0.offset < $1.offset }
        let sizes = extents.map(\.byteCount).sorted()
        readByteCount = sizes.isEmpty ? 0 : sizes[sizes.count / 2]
        guard let largest = sizes.last else {
            samples = []
            return
        }
        var order = Array(extents.indices)
        order.shuffle()
        let run = try ProbeRun(path: container.path, order: order.map { extents[$0] }, largest: largest)
        let share = duration / (2 * Self.laneCounts.count)
        var samples: [Sample] = []
        for isDirect in [true, false] {
            for laneCount in Self.laneCounts {
                if let sample = try run.measure(laneCount: laneCount, isDirect: isDirect, for: share) {
                    samples.append(sample)
                }
            }
        }
        self.samples = samples
    }
}

/// What the lanes of a probe share.
private final class ProbeRun: Sendable {
    private let path: String
    private let order: [(offset: Int, byteCount: Int)]
    /// One a lane, of huge pages like the arena's slots: scattered ones cut a direct read into many requests.
    private let buffers: [AlignedMemory]
    /// Where in `order` the next read is; it goes on from one measurement to the next, so that none reads what another
    /// brought into the cache.
    private let next = Atomic<Int>(0)

    private static let page = ArenaShape.pageByteCount
    /// `O_DIRECT`, which Glibc's headers keep for those who define `_GNU_SOURCE`.
    #if arch(arm64)
        private static let directFlag: Int32 = 0o200000
    #else
        private static let directFlag: Int32 = 0o40000
    #endif

    init(path: String, order: [(offset: Int, byteCount: Int)], largest: Int) throws(PagingError) {
        self.path = path
        self.order = order
        let byteCount = (largest + 2 * Self.page - 1) / Self.page * Self.page
        var buffers: [AlignedMemory] = []
        for _ in 0..<(StorageProbe.laneCounts.max() ?? 0) {
            do {
                let buffer = try AlignedMemory(byteCount: byteCount, wantsHugePages: true)
                // Its pages are there before the time of a read is taken.
                unsafe memset(buffer.base, 0, byteCount)
                buffers.append(buffer)
            } catch {
                throw PagingError(.outOfMemory, "a buffer of \(byteCount) bytes to measure storage: \(error)")
            }
        }
        self.buffers = buffers
    }

    private final class Tally: Sendable {
        let byteCount = Atomic<Int>(0)
        let readCount = Atomic<Int>(0)
        let failure = Atomic<Int32>(0)
    }

    /// nil where direct reads aren't to be had.
    func measure(
        laneCount: Int, isDirect: Bool, for duration: Duration
    ) throws(PagingError) -> StorageProbe.Sample? {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC | (isDirect ? Self.directFlag : 0))
        guard file >= 0 else {
            if isDirect, errno == EINVAL { return nil }
            throw unreadable(errno)
        }
        defer { close(file) }
        let tally = Tally()
        let start = ContinuousClock.now
        var lanes: [WorkerThread] = []
        defer { for lane in lanes { lane.join() } }
        for index in 0..<laneCount {
            let buffer = buffers[index]
            do {
                lanes.append(
                    try WorkerThread(name: "moed-probe-\(index)", stackByteCount: 512 << 10) { [self] in
                        while start.duration(to: .now) < duration, tally.failure.load(ordering: .relaxed) == 0 {
                            read(file, into: buffer, isDirect: isDirect, tally)
                        }
                    })
            } catch {
                tally.failure.store(ECANCELED, ordering: .relaxed)
                throw PagingError(.noThread, "a lane to measure storage: \(error)")
            }
        }
        for lane in lanes { lane.join() }
        lanes = []
        let elapsed = start.duration(to: .now)
        let code = tally.failure.load(ordering: .relaxed)
        if code == EINVAL, isDirect { return nil }
        guard code == 0 else { throw unreadable(code) }
        let (bytes, count) = (tally.byteCount.load(ordering: .relaxed), tally.readCount.load(ordering: .relaxed))
        return StorageProbe.Sample(
            laneCount: laneCount, isDirect: isDirect, bytesPerSecond: Double(bytes) / (elapsed / .seconds(1)),
            latency: elapsed * laneCount / max(count, 1))
    }

    private func read(_ file: Int32, into buffer: AlignedMemory, isDirect: Bool, _ tally: Tally) {
        let extent = order[next.add(1, ordering: .relaxed).oldValue % order.count]
        let skip = extent.offset % Self.page
        let offset = extent.offset - skip
        let length = (skip + extent.byteCount + Self.page - 1) / Self.page * Self.page
        if !isDirect { posix_fadvise(file, off_t(offset), off_t(length), POSIX_FADV_DONTNEED) }
        var count = 0
        while count < skip + extent.byteCount {
            let got = unsafe pread(file, buffer.base + count, length - count, off_t(offset + count))
            if got < 0, errno == EINTR { continue }
            guard got > 0 else {
                tally.failure.store(got < 0 ? errno : EIO, ordering: .relaxed)
                return
            }
            count += got
        }
        tally.byteCount.add(extent.byteCount, ordering: .relaxed)
        tally.readCount.add(1, ordering: .relaxed)
    }

    private func unreadable(_ code: Int32) -> PagingError {
        PagingError(.unreadable, "\(path) can't be read: \(unsafe String(cString: strerror(code)))")
    }
}

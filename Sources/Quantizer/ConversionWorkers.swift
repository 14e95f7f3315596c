import Checkpoint
import Compute
import Container
import Synchronization

/// Makes units' bytes on all threads and hands them over one by one, in order.
///
/// The threads read and encode rows of a batch's matrices, first units first; whoever finishes a unit packs it, and
/// hands over what is complete up to there. So at any time little is unfinished, and since order and places are fixed
/// beforehand, the bytes are the same for any number of threads.
struct ConversionWorkers {
    let pool: ThreadPool
    let packing: Packing
    let encoding: EncodingOptions
    let progress: ConversionProgress
    let cancellation: Cancellation

    /// Bytes of units that are made together, unless a single one is larger.
    static let batchByteCount = 80 << 20

    /// A unit whose bytes are complete.
    @safe struct Made {
        let unit: ConversionUnit
        let bytes: UnsafeRawBufferPointer
        /// Of an expert, one a plane.
        let packed: [PackedBlob]
        /// One a part.
        let losses: [MatrixEncoder.Loss]

        /// An expert's first plane.
        var blob: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(rebasing: bytes[..<unit.blobByteCount]) }
        /// Its second plane; empty where there is none.
        var refinement: UnsafeRawBufferPointer {
            unsafe UnsafeRawBufferPointer(rebasing: bytes[(unit.refinementRange ?? 0..<0)])
        }
    }

    func batches(_ units: ArraySlice<ConversionUnit>) -> [Range<Int>] {
        var batches: [Range<Int>] = []
        var start = units.startIndex
        var byteCount = 0
        for (index, unit) in zip(units.indices, units) {
            let size = unit.byteCount + encoding.compensationByteCount(of: unit)
            if index > start, byteCount + size > Self.batchByteCount {
                batches.append(start..<index)
                start = index
                byteCount = 0
            }
            byteCount += size
        }
        return start < units.endIndex ? batches + [start..<units.endIndex] : batches
    }

    /// - Parameters:
    ///   - units: of one batch; all of them are in memory together.
    ///   - others: number of other things to be done beside, by `body`, which are begun first.
    ///   - take: called for one unit after the other, on any thread.
    func make(
        _ units: [ConversionUnit], beside others: Int = 0, _ body: (Int) throws -> Void = { _ in },
        take: (Made) throws -> Void
    ) throws {
        let units = try inParallel(units.count) { try units[$0].prepared(encoding) }
        let arrays = try units.map { try AlignedMemory(byteCount: $0.byteCount) }
        let tasks = ConversionTask.tasks(of: units)
        let state = Mutex(BatchState(units, tasks))
        _ = try inParallel(others + tasks.count) { index in
            guard index >= others else { return try body(index) }
            let task = tasks[index - others]
            let loss = try encode(units[task.unit].parts[task.part], rows: task.rows, into: arrays[task.unit])
            guard state.withLock({ $0.finish(index - others, of: task.unit, loss) }) else { return }
            let packed = pack(units[task.unit], arrays[task.unit])
            // One thread at a time hands over; it goes on with what others complete meanwhile.
            guard state.withLock({ $0.complete(task.unit, packed) }) else { return }
            while let (place, packed, losses) = state.withLock({ $0.next() }) {
                try unsafe take(
                    Made(unit: units[place], bytes: bytes(of: arrays[place]), packed: packed, losses: losses))
            }
        }
    }

    /// An expert's planes.
    private func pack(_ unit: ConversionUnit, _ array: AlignedMemory) -> [PackedBlob] {
        guard unit.isExpert else { return [] }
        let ranges = [0..<unit.blobByteCount] + (unit.refinementRange.map { [$0] } ?? [])
        return ranges.map {
            unsafe PackedBlob(packing: UnsafeRawBufferPointer(rebasing: bytes(of: array)[$0]), packing)
        }
    }

    private func bytes(of array: AlignedMemory) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: array.base, count: array.byteCount)
    }

    private func encode(
        _ part: ConversionUnit.Part, rows: Range<Int>, into array: AlignedMemory
    ) throws -> MatrixEncoder.Loss {
        if let packedImport = part.packedImport {
            try unsafe packedImport.copy(rows: rows, into: array.base + part.offset)
            progress.advance(part.source.byteCount(ofRows: rows.count))
            return MatrixEncoder.Loss()
        }
        let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: rows.count * part.source.columns)
        defer { unsafe values.deallocate() }
        let sourceRows = part.rows.lowerBound + rows.lowerBound..<part.rows.lowerBound + rows.upperBound
        try unsafe part.source.readRows(sourceRows, into: values)
        guard let start = values.baseAddress else { return MatrixEncoder.Loss() }
        do throws(QuantizerError) {
            let plane = unsafe part.refinementOffset.map { unsafe array.base + $0 }
            let loss = try unsafe part.encoder.encode(
                start, rows: rows, into: array.base + part.offset, refinements: plane)
            progress.advance(part.source.byteCount(ofRows: rows.count))
            return loss
        } catch {
            var named = error
            named.tensor = part.source.name
            throw named
        }
    }

    /// Calls `body` for every item on the pool's threads; results in the items' order.
    ///
    /// - Throws: of the failures the one with the lowest number, whichever came first, or `cancelled`.
    func inParallel<Result: Sendable>(_ count: Int, _ body: (Int) throws -> Result) throws -> [Result] {
        let state = Mutex((results: [Result?](repeating: nil, count: count), failure: (any Error)?.none, place: count))
        pool.forEach(count) { index in
            if cancellation.isRequested || state.withLock({ $0.place < index }) { return }
            do {
                let result = try body(index)
                state.withLock { $0.results[index] = result }
            } catch {
                state.withLock { state in
                    if index < state.place {
                        state.place = index
                        state.failure = error
                    }
                }
            }
        }
        try cancellation.check()
        return try state.withLock { state in
            if let failure = state.failure { throw failure }
            return state.results.compactMap(\.self)
        }
    }
}

/// Which of a batch's units are complete.
private struct BatchState {
    private let tasks: [ConversionTask]
    private var losses: [MatrixEncoder.Loss]
    /// Of each unit, its tasks, and how many of them aren't done.
    private var places: [Range<Int>]
    private var remaining: [Int]
    private let partCounts: [Int]
    private var packed: [[PackedBlob]]
    private var nextUnit = 0
    private var isHandingOver = false

    init(_ units: [ConversionUnit], _ tasks: [ConversionTask]) {
        self.tasks = tasks
        losses = Array(repeating: .init(), count: tasks.count)
        places = Array(repeating: 0..<0, count: units.count)
        for (place, task) in tasks.enumerated() {
            let start = places[task.unit].isEmpty ? place : places[task.unit].lowerBound
            places[task.unit] = start..<place + 1
        }
        remaining = places.map(\.count)
        partCounts = units.map(\.parts.count)
        packed = Array(repeating: [], count: units.count)
    }

    /// True for the unit's last task.
    mutating func finish(_ place: Int, of unit: Int, _ loss: MatrixEncoder.Loss) -> Bool {
        losses[place] = loss
        // Not complete before it is packed as well.
        if remaining[unit] == 1 { return true }
        remaining[unit] -= 1
        return false
    }

    /// True if the caller is to hand over, until there is no `next`.
    mutating func complete(_ unit: Int, _ planes: [PackedBlob]) -> Bool {
        packed[unit] = planes
        remaining[unit] = 0
        defer { isHandingOver = true }
        return !isHandingOver
    }

    mutating func next() -> (Int, [PackedBlob], [MatrixEncoder.Loss])? {
        guard nextUnit < remaining.count, remaining[nextUnit] == 0 else {
            isHandingOver = false
            return nil
        }
        let unit = nextUnit
        nextUnit += 1
        defer { packed[unit] = [] }
        // In the tasks' order, so that the sums don't depend on who came first.
        var sums = [MatrixEncoder.Loss](repeating: .init(), count: partCounts[unit])
        for place in places[unit] { sums[tasks[place].part] += losses[place] }
        return (unit, packed[unit], sums)
    }
}

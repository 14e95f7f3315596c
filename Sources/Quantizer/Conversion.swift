package import Checkpoint
import Compute
package import Container
import Synchronization

/// Turns a checkpoint into a container.
///
/// Works through it in batches of arrays, front to back: the threads read and encode rows of a batch's matrices, then
/// pack its blobs, then one thread appends them in order. A batch is bounded in bytes and no array is in memory twice,
/// so memory stays near the largest array; and since order and places are fixed beforehand, the bytes are the same for
/// any number of threads.
package struct Conversion {
    private let checkpoint: Checkpoint
    private let plan: FormatPlan
    private let packing: Packing
    private let pool: ThreadPool
    private let progress: ConversionProgress
    private let cancellation: Cancellation

    /// Bytes of arrays that are made together, unless a single one is larger.
    private static let batchByteCount = 80 << 20

    package init(
        _ checkpoint: Checkpoint, plan: FormatPlan, packing: Packing, threadCount: Int, progress: ConversionProgress,
        cancellation: Cancellation = Cancellation()
    ) {
        self.checkpoint = checkpoint
        self.plan = plan
        self.packing = packing
        self.progress = progress
        self.cancellation = cancellation
        pool = ThreadPool(threadCount: threadCount)
    }

    /// Bytes of the checkpoint that a conversion reads, for `ConversionProgress`.
    package static func sourceByteCount(of checkpoint: Checkpoint) -> Int {
        checkpoint.tensors.reduce(0) { $0 + $1.matrix.byteCount }
            + checkpoint.experts.reduce(0) { $0 + $1.gate.byteCount + $1.up.byteCount + $1.down.byteCount }
    }

    /// Converts everything and finishes the container.
    ///
    /// - Throws: `CheckpointError`, `ContainerError`, `QuantizerError`, or `ComputeError` when memory runs out. The
    ///   writer then has removed its file, or does so when it is let go.
    package func run(into writer: ContainerWriter, tool: String) throws -> ConversionReport {
        var report = ConversionReport()
        let units = units()
        for range in Self.batches(units) {
            try convert(units[range], into: writer, &report)
        }
        progress.enter(.hashing)
        let sources = try hashSources()
        progress.enter(.finishing)
        try cancellation.check()
        let recipe = Recipe(tool: tool, type: plan.type.rawValue, isPure: plan.isPure, packing: packing)
        try writer.finish(
            metadata: ModelMetadata(
                configuration: checkpoint.configuration, generationDefaults: checkpoint.generationDefaults,
                recipe: recipe, sources: sources),
            text: checkpoint.text)
        report.sourceByteCount = progress.totalByteCount
        report.fileByteCount = try InputFile(path: writer.path).byteCount
        report.byteCountPerToken = plan.byteCountPerToken
        report.skipped = checkpoint.skipped
        report.warnings = checkpoint.warnings
        return report
    }

    /// Resident tensors first, so that loading them is one sequential read.
    private func units() -> [ConversionUnit] {
        let tensors = checkpoint.tensors.map { ConversionUnit($0, plan.shape(of: $0.requirement)) }
        guard let layout = plan.expertLayout else { return tensors }
        return tensors + checkpoint.experts.map { ConversionUnit($0, layout) }
    }

    private static func batches(_ units: [ConversionUnit]) -> [Range<Int>] {
        var batches: [Range<Int>] = []
        var start = 0
        var byteCount = 0
        for (index, unit) in units.enumerated() {
            if index > start, byteCount + unit.byteCount > batchByteCount {
                batches.append(start..<index)
                start = index
                byteCount = 0
            }
            byteCount += unit.byteCount
        }
        return start < units.count ? batches + [start..<units.count] : batches
    }
}

// MARK: One batch

extension Conversion {
    private func convert(
        _ batch: ArraySlice<ConversionUnit>, into writer: ContainerWriter, _ report: inout ConversionReport
    ) throws {
        let units = Array(batch)
        var arrays: [AlignedMemory] = []
        for unit in units { arrays.append(try AlignedMemory(byteCount: unit.byteCount)) }
        let tasks = ConversionTask.tasks(of: units)
        let losses = try inParallel(tasks.count) { index in
            let task = tasks[index]
            let part = units[task.unit].parts[task.part]
            return try encode(part, rows: task.rows, into: arrays[task.unit])
        }
        add(losses, of: tasks, units, to: &report)
        let packed = try inParallel(units.count) { index in
            guard units[index].isExpert else { return PackedBlob?.none }
            return unsafe PackedBlob(packing: UnsafeRawBufferPointer(bytes(of: arrays[index])), packing)
        }
        for (index, unit) in units.enumerated() {
            let bytes = unsafe UnsafeRawBufferPointer(bytes(of: arrays[index]))
            switch unit.content {
            case .tensor(let tensor, let shape):
                try unsafe writer.append(tensor: tensor.requirement.key, shape: shape, bytes: bytes)
                report.storedByteCount += unit.byteCount
            case .expert(let expert, let layout):
                guard let blob = packed[index] else { continue }
                try unsafe writer.append(expert: expert.key, layout: layout, bytes: bytes, packed: blob)
                report.expertCount += 1
                report.packedExpertCount += blob.codec == .stored ? 0 : 1
                report.storedByteCount += blob.storedByteCount
            }
        }
    }

    private func bytes(of array: AlignedMemory) -> UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: array.base, count: array.byteCount)
    }

    private func encode(
        _ part: ConversionUnit.Part, rows: Range<Int>, into array: AlignedMemory
    ) throws -> MatrixEncoder.Loss {
        let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: rows.count * part.source.columns)
        defer { unsafe values.deallocate() }
        try unsafe part.source.readRows(rows, into: values)
        guard let start = values.baseAddress else { return MatrixEncoder.Loss() }
        do throws(QuantizerError) {
            let loss = try unsafe part.encoder.encode(start, rows: rows, into: array.base + part.offset)
            progress.advance(rows.count * part.source.columns * part.source.bytesPerWeight)
            return loss
        } catch {
            var named = error
            named.tensor = part.source.name
            throw named
        }
    }

    private func add(
        _ losses: [MatrixEncoder.Loss], of tasks: [ConversionTask], _ units: [ConversionUnit],
        to report: inout ConversionReport
    ) {
        var sums = units.map { [MatrixEncoder.Loss](repeating: .init(), count: $0.parts.count) }
        for (task, loss) in zip(tasks, losses) { sums[task.unit][task.part] += loss }
        for (unit, losses) in zip(units, sums) {
            for (part, loss) in zip(unit.parts, losses) {
                let format = part.encoder.shape.format
                report.add(
                    .init(name: part.source.name, format: format, loss: loss), weightCount: part.source.weightCount)
                if format == .bf16, plan.type.format.isQuantized { report.unquantized.append(part.source.name) }
            }
        }
    }

    /// Calls `body` for every item on the pool's threads; results in the items' order.
    ///
    /// - Throws: of the failures the one with the lowest number, whichever came first, or `cancelled`.
    private func inParallel<Result: Sendable>(_ count: Int, _ body: (Int) throws -> Result) throws -> [Result] {
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

// MARK: Sources

extension Conversion {
    private static let hashBlockByteCount = 1 << 20

    private func hashSources() throws -> [SourceFile] {
        let files = checkpoint.files
        return try inParallel(files.count) { index in
            let file = files[index]
            let name = file.path.split(separator: "/").last.map(String.init) ?? file.path
            return SourceFile(name: name, byteCount: file.byteCount, checksum: try checksum(of: file))
        }
    }

    private func checksum(of file: InputFile) throws -> UInt64 {
        guard var stream = XXH3.Stream() else {
            throw QuantizerError(code: .outOfMemory, message: "there is no memory for a checksum")
        }
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.hashBlockByteCount, alignment: 64)
        defer { unsafe block.deallocate() }
        for start in stride(from: 0, to: file.byteCount, by: Self.hashBlockByteCount) {
            try cancellation.check()
            let part = unsafe UnsafeMutableRawBufferPointer(
                rebasing: block[..<min(block.count, file.byteCount - start)])
            try unsafe file.read(into: part, at: start)
            unsafe stream.update(UnsafeRawBufferPointer(part))
            progress.advanceHash(part.count)
        }
        return stream.finalize()
    }
}

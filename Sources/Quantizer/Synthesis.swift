import Compute
package import Container
import Synchronization

/// Writes a container of any shape with random weights, as fast as the storage takes it.
///
/// The weights are of a size that keeps every layer's values near one (deviation 1/√columns, norms 1), so that a forward
/// pass gives finite logits and routers spread their tokens. While one thread writes a batch, the others make the next
/// one; the bytes are the same for any number of threads.
package struct Synthesis {
    private let plan: FormatPlan
    private let seed: Int
    private let text: TextAssets
    private let pool: ThreadPool
    private let progress: ConversionProgress
    private let cancellation: Cancellation

    /// Bytes that are made before they are written, unless a single array is larger.
    private static let batchByteCount = 32 << 20
    /// Bytes that a thread makes at a time.
    private static let taskByteCount = 1 << 20

    /// - Parameters:
    ///   - seed: 0 to 2^53.
    ///   - text: what makes the model one that can be served; random weights need none.
    package init(
        plan: FormatPlan, seed: Int, text: TextAssets = TextAssets(), threadCount: Int, progress: ConversionProgress,
        cancellation: Cancellation = Cancellation()
    ) {
        self.plan = plan
        self.seed = seed
        self.text = text
        self.progress = progress
        self.cancellation = cancellation
        pool = ThreadPool(threadCount: threadCount)
    }

    /// Bytes of all arrays, for `ConversionProgress`.
    package static func byteCount(of plan: FormatPlan) -> Int {
        let resident = plan.configuration.residentTensors.reduce(0) { $0 + plan.shape(of: $1).byteCount }
        return plan.expertKeys.reduce(resident) {
            $0 + (plan.layout(of: $1)?.byteCount ?? 0) + (plan.refinement(of: $1)?.byteCount ?? 0)
        }
    }

    /// - Throws: `ContainerError`, `QuantizerError`, or `ComputeError` when memory runs out.
    package func run(into writer: ContainerWriter, tool: String) throws {
        let arrays = SynthesisArray.all(of: plan, seed: seed)
        let batches = SynthesisBatch.batches(of: arrays, byteCount: Self.batchByteCount)
        let capacity = batches.map(\.byteCount).max() ?? 0
        let buffers = try (0..<2).map { _ in try AlignedMemory(byteCount: capacity) }
        var waiting: (batch: SynthesisBatch, blobs: [[PackedBlob]])?
        for (index, batch) in batches.enumerated() {
            try cancellation.check()
            let blobs = try make(batch, in: buffers[index % 2]) {
                if let waiting { try write(waiting.batch, waiting.blobs, from: buffers[(index + 1) % 2], writer) }
            }
            waiting = (batch, blobs)
        }
        if let waiting { try write(waiting.batch, waiting.blobs, from: buffers[(batches.count + 1) % 2], writer) }
        progress.enter(.finishing)
        try cancellation.check()
        try writer.finish(
            metadata: ModelMetadata(
                configuration: plan.configuration, generationDefaults: GenerationDefaults(),
                recipe: Recipe(
                    tool: tool, type: plan.type.rawValue, isPure: plan.isPure, packing: .never, randomSeed: seed),
                sources: []),
            text: text)
    }

    /// Makes a batch's arrays on all threads, one of which does `writing` first.
    private func make(
        _ batch: SynthesisBatch, in memory: AlignedMemory, while writing: () throws -> Void
    ) throws -> [[PackedBlob]] {
        let tasks = batch.tasks(byteCount: Self.taskByteCount)
        var failure: (any Error)?
        // Only one item touches `failure`, and the pool's barrier stands between it and the reading below.
        pool.forEach(tasks.count + 1) { item in
            if item == 0 {
                do { try writing() } catch { failure = error }
            } else if !cancellation.isRequested {
                let task = tasks[item - 1]
                let place = batch.arrays[task.array]
                unsafe place.array.fill(part: task.part, blocks: task.blocks, at: memory.base + place.offset)
            }
        }
        if let failure { throw failure }
        return blobs(of: batch, in: memory)
    }

    /// The experts' planes with their checksums; none for a tensor.
    private func blobs(of batch: SynthesisBatch, in memory: AlignedMemory) -> [[PackedBlob]] {
        let results = Mutex([[PackedBlob]](repeating: [], count: batch.arrays.count))
        pool.forEach(batch.arrays.count) { index in
            let place = batch.arrays[index]
            let bytes = unsafe UnsafeRawBufferPointer(start: memory.base + place.offset, count: place.array.byteCount)
            let planes = place.array.planes.map {
                unsafe PackedBlob(packing: UnsafeRawBufferPointer(rebasing: bytes[$0]), .never)
            }
            results.withLock { $0[index] = planes }
        }
        return results.withLock(\.self)
    }

    private func write(
        _ batch: SynthesisBatch, _ blobs: [[PackedBlob]], from memory: AlignedMemory, _ writer: ContainerWriter
    ) throws {
        for (place, planes) in zip(batch.arrays, blobs) {
            let bytes = unsafe UnsafeRawBufferPointer(start: memory.base + place.offset, count: place.array.byteCount)
            switch place.array.content {
            case .tensor(let requirement, let shape):
                try unsafe writer.append(tensor: requirement.key, shape: shape, bytes: bytes)
            case .expert(let key, let layout, let refinement):
                let ranges = place.array.planes
                guard let blob = planes.first, let last = planes.last, let first = ranges.first,
                    let second = ranges.last
                else { continue }
                try unsafe writer.append(
                    expert: key, layout: layout, bytes: UnsafeRawBufferPointer(rebasing: bytes[first]), packed: blob)
                guard let refinement else { break }
                try unsafe writer.append(
                    refinementOf: key, layout: refinement, bytes: UnsafeRawBufferPointer(rebasing: bytes[second]),
                    packed: last)
            }
            progress.advance(place.array.byteCount)
        }
    }
}

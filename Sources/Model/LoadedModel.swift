package import Compute
package import Container
package import ExpertPaging
import Synchronization

/// A model that is ready to compute: its dense weights are in memory, its experts come and go.
///
/// One step runs at a time, on whichever thread calls (the engine's); a second one at the same time is a programming
/// error and traps. A step allocates nothing of its own.
package final class LoadedModel: @unchecked Sendable {
    // Sendable: everything but `scratch` and the variables is immutable or locks itself, and `isStepping` keeps a
    // second step from using them.

    package let configuration: ModelConfiguration
    package let plan: MemoryPlan
    package let experts: ExpertStore
    package let kernels: Kernels
    package let threadCount: Int

    package let weights: ResidentTensors
    package let rotary: RotaryTable
    package let scratch: Scratch
    // The buffers stand here and not in `scratch`: a constant of the object whose method runs is used without counting a
    // reference to it.
    /// Inputs of every matrix but `down`: [tokens, inputSize].
    package let input: ActivationBuffer
    /// Inputs of experts that not all tokens chose: [rows, hidden].
    let expertInput: ActivationBuffer
    /// Inputs of `down`: [rows, intermediate].
    let intermediate: ActivationBuffer
    /// Inputs of latent attention's keys and values, each with its remainder: [2, positions of a block, latent] or
    /// [heads, 2, some rows, latent].
    let latents: ActivationBuffer
    /// Whether any matrix is quantised, so that its inputs are wanted as int8 too.
    let usesCodes: Bool
    private let pool: ThreadPool
    private let shares: WorkShares
    private let isStepping = Atomic(false)
    /// Chooses the experts in place of the routers; set between steps.
    package var routing: (any RoutingSource)?
    /// Chunks of prompts that were begun.
    var chunkNumber = 0
    /// Time that the step at hand has spent on predicting experts.
    package var predictionDuration = Duration.zero

    /// What was in memory already when it was loaded.
    package let adoption: Adoption

    package struct Adoption: Sendable, Equatable {
        package var tensorCount = 0
        package var experts = ExpertStore.Adoption()
    }

    /// Reads the dense weights and starts the threads; experts are read when they are first needed.
    ///
    /// - Parameters:
    ///   - kept: where the weights are to be, of `plan.keptLayout`; what it holds already isn't read again.
    ///   - willRead: called before each read of an expert.
    package init(
        container: ContainerReader, plan: MemoryPlan, threadCount: Int = ThreadCount.available,
        kernels: Kernels = .best, kept: KeptWeights? = nil, willRead: ReadObserver? = nil
    ) throws(ModelError) {
        configuration = container.metadata.configuration.activating(plan.expertsPerToken)
        self.plan = plan
        self.kernels = kernels
        self.threadCount = threadCount
        pool = ThreadPool(threadCount: threadCount)
        weights = try ResidentTensors(container: container, configuration: configuration, pool: pool, kept: kept)
        rotary = RotaryTable(configuration.rotary, headSize: AttentionSizes(configuration.attention).ropeHeadSize)
        let layout = ScratchLayout(configuration: configuration, chunk: plan.chunk, sequences: plan.sequenceCount)
        do {
            scratch = try Scratch(
                layout: layout, hiddenSize: configuration.hiddenSize,
                expertCount: configuration.experts?.routedExpertCount ?? 0, pairCount: rotary.frequencies.count)
            input = try ActivationBuffer(tokenCapacity: layout.tokenCount, columnCapacity: layout.inputSize)
            expertInput = try ActivationBuffer(
                tokenCapacity: layout.expertRowCount, columnCapacity: configuration.hiddenSize)
            intermediate = try ActivationBuffer(
                tokenCapacity: layout.rowCount, columnCapacity: layout.intermediateSize)
            latents = try ActivationBuffer(
                tokenCapacity: layout.latentCount, columnCapacity: layout.latentSize)
        } catch {
            throw ModelError(.outOfMemory, "the scratch memory needs \(layout.byteCount) bytes", cause: error)
        }
        usesCodes =
            container.tensors.values.contains { $0.shape.format.isQuantized }
            || container.experts.values.contains {
                $0.layout.gateUpFormat.isQuantized || $0.layout.downFormat.isQuantized
            }
        do {
            experts = try ExpertStore(
                container: container, slotCount: plan.slotCount, laneCount: plan.laneCount,
                planes: plan.planes ?? .coarse, isDirect: plan.isDirect, kept: kept, willRead: willRead)
        } catch {
            throw ModelError(.outOfMemory, "the expert arena could not be made", cause: error)
        }
        shares = WorkShares(threadCount: threadCount)
        adoption = Adoption(tensorCount: weights.adoptedCount, experts: experts.adoptKept(on: pool))
    }

    /// The KV cache for all sequences, as the plan has it.
    package func makeCache() throws(ModelError) -> KeyValueCache {
        try KeyValueCache(
            configuration: configuration, blockCount: plan.cacheBlockCount, format: plan.cacheFormat)
    }

    /// A sequence with a KV cache of its own, as long as the plan's context.
    package func makeState() throws(ModelError) -> DecodingState {
        try KeyValueCache(
            configuration: configuration, blockCount: KeyValueCache.blockCount(tokens: plan.contextLength),
            format: plan.cacheFormat
        ).makeState(capacity: plan.contextLength)
    }

    /// Logits of the last token of the last prefill or decode: [vocabulary]. They stay until the next step.
    package var logits: UnsafeBufferPointer<Float> { unsafe logits(row: 0) }

    package func logits(row: Int) -> UnsafeBufferPointer<Float> {
        let size = configuration.vocabularySize
        return unsafe UnsafeBufferPointer(start: scratch.floats(.logits) + row * size, count: size)
    }

    package func beginStep(_ observer: (any ForwardObserver)?) {
        precondition(
            isStepping.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged,
            "a model computes one step at a time")
        scratch.inputObserver = observer?.observesInputs == true ? observer : nil
        scratch.choiceObserver = observer?.observesChoices == true ? observer : nil
    }

    package func endStep() {
        scratch.inputObserver = nil
        scratch.choiceObserver = nil
        isStepping.store(false, ordering: .releasing)
    }

    // MARK: Work sharing

    /// Multiply-adds below which waking the other threads costs more than they save.
    private static let leastSharedWork = 150_000

    /// Calls `body` for 0 ..< count, on all threads if `work` (in multiply-adds, for all of them) is worth it.
    package func forEach(_ count: Int, work: Int, _ body: (Int) -> Void) {
        if count > 1, threadCount > 1, work >= Self.leastSharedWork {
            pool.forEach(count, body)
        } else {
            for item in 0..<count { body(item) }
        }
    }

    /// Calls `body` for ranges that together are 0 ..< units, on all threads if `work` is worth it. Each thread goes through
    /// the units that are its own in order, so units should be in the order in which they stand in memory.
    func share(_ units: Int, work: Int, _ body: (Range<Int>) -> Void) {
        guard units > 1, threadCount > 1, work >= Self.leastSharedWork else {
            body(0..<units)
            return
        }
        shares.divide(units)
        pool.forEach(threadCount) { thread in
            while let piece = shares.take(thread) { body(piece) }
        }
    }

    /// output[t][r] = Σ_k W[r][k] · x[t][k] for the first `tokens` rows of `input`; output is [tokens, rows].
    package func multiply(
        _ matrix: Matrix, _ input: ActivationBuffer, tokens: Int, into output: UnsafeMutablePointer<Float>
    ) {
        let count = matrix.shape.panelCount
        let work = matrix.shape.rows * matrix.shape.columns * tokens
        // Kernels are fastest with an even number of panels.
        share((count + 1) / 2, work: work) { pairs in
            unsafe kernels.multiply(
                matrix, panels: 2 * pairs.lowerBound..<min(2 * pairs.upperBound, count), input, tokens: 0..<tokens,
                into: output, yStride: matrix.shape.rows)
        }
    }

    /// Makes rows of floats the input of matrices: [tokens, columns]. Only matrices that aren't quantised want the floats
    /// themselves.
    package func load(
        _ buffer: ActivationBuffer, _ values: UnsafePointer<Float>, tokens: Int, columns: Int, floats: Bool = true
    ) {
        begin(buffer, tokens: tokens, columns: columns, floats: floats)
        forEach(tokens, work: tokens * columns) { token in
            unsafe buffer.store(values + token * columns, token: token, kernels: kernels)
        }
    }

    /// Makes room for rows of floats that will be the input of matrices.
    func begin(_ buffer: ActivationBuffer, tokens: Int, columns: Int, floats: Bool) {
        buffer.begin(
            tokens: tokens, columns: columns, quantize: usesCodes && columns % BlockFormat.groupSize == 0,
            floats: floats)
    }

    /// Norms rows of `hidden` into the same rows of a buffer: [rows, hidden].
    package func norm(
        _ weight: UnsafePointer<Float>, _ pass: ForwardPass, rows: Range<Int>,
        into buffer: ScratchLayout.Buffer = .normed
    ) {
        let size = configuration.hiddenSize
        let (hidden, normed) = unsafe (pass.hidden, scratch.floats(buffer))
        forEach(rows.count, work: rows.count * size) { item in
            let start = (rows.lowerBound + item) * size
            unsafe kernels.rmsNorm(
                hidden + start, weight: weight, epsilon: configuration.normEpsilon, count: size, into: normed + start)
        }
    }
}

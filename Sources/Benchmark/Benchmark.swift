import Compute
package import Container
import ExpertPaging
import Model

/// Loads a model, runs it as the daemon would, and holds what it reached against what the machine can do.
package final class Benchmark {
    private let container: ContainerReader
    private let options: BenchmarkOptions
    private let model: LoadedModel
    /// [depths that take turns][sequences]
    private let states: [[DecodingState]]
    /// nil once its memory is needed for experts.
    private let probe: LimitProbe?
    private let earlierLimits: MachineLimits?
    private let storage: BenchmarkReport.Storage?
    private let cost: StepCost
    private let note: (String) -> Void

    /// Takes the probe's buffer, plans and loads the model, and reads in as many experts as have a place.
    ///
    /// Throws `ModelError` or `ComputeError`; an encoder-decoder is refused before anything is done.
    ///
    /// - Parameter note: told what goes on, a line at a time.
    package init(
        container: ContainerReader, options: BenchmarkOptions, note: @escaping (String) -> Void = { _ in }
    ) throws {
        let configuration = container.metadata.configuration
        guard configuration.encoder == nil else {
            throw ModelError(
                .unsupported,
                "\(container.path): this model is an encoder-decoder, which has no prompts to read and continue: it can be "
                    + "served and traced, but not measured")
        }
        self.container = container
        self.options = options
        self.note = note
        let available = AvailableMemory.current()?.byteCount ?? 0
        // The model goes first where memory is short.
        let byteCount = options.bufferByteCount ?? min(LimitProbe.defaultByteCount, max(available / 8, 32 << 20))
        var probe: LimitProbe? = try LimitProbe(
            kernels: options.kernels, threadCount: options.threadCount, byteCount: byteCount)

        var plan = options.plan
        let longest = max(
            options.prefillLengths.max() ?? 0, (options.decodeDepths.max() ?? 0) + options.decodeTokenCount, 1)
        plan.context = plan.context ?? min(longest, configuration.contextLength)
        if options.isDense { plan.expertsPerToken = configuration.experts?.routedExpertCount }
        // With room for the tokens before each, depths can take turns.
        var turns = max(1, options.decodeDepths.count)
        plan.sequences = options.sequenceCount * turns
        var planned = try MemoryPlan(container: container, options: plan)
        if planned.slotCount < planned.expertCount {
            // Memory is short: the machine is measured first, and then the model has all of it.
            turns = 1
            plan.sequences = options.sequenceCount
            note("measuring the machine and storage")
            earlierLimits = probe?.measure(passes: 6)
            probe = nil
            let measured = try MemoryPlan.measuringStorage(container: container, options: plan)
            planned = measured.plan
            storage = measured.probe.map {
                let fastest = $0.best?.bytesPerSecond ?? 0
                return BenchmarkReport.Storage(
                    laneCount: measured.plan.laneCount, isDirect: measured.plan.isDirect,
                    bytesPerSecond: min(fastest, options.storageBytesPerSecond.map(Double.init) ?? fastest),
                    readByteCount: $0.readByteCount)
            }
        } else {
            earlierLimits = nil
            storage = nil
        }
        self.probe = probe
        for warning in planned.warnings { note("warning: \(warning)") }
        note("loading \(container.path)")
        model = try LoadedModel(
            container: container, plan: planned, threadCount: options.threadCount, kernels: options.kernels,
            willRead: options.storageBytesPerSecond.map { StorageThrottle(bytesPerSecond: $0).observer })
        model.routing = options.routing
        let cache = try model.makeCache()
        states = (0..<turns).map { _ in
            (0..<options.sequenceCount).map { _ in cache.makeState(capacity: planned.contextLength) }
        }
        cost = StepCost(
            container: container, planes: planned.planes ?? .coarse, configuration: model.configuration,
            cacheFormat: planned.cacheFormat)
        if planned.slotCount == planned.expertCount { try model.readAllExperts() }
    }

    /// Measures everything that was asked for. Throws `ModelError`.
    package func run() throws -> BenchmarkReport {
        if let probe {
            note("measuring the machine")
            _ = probe.measure()
        }
        let context = model.plan.contextLength
        var measured: [Measured] = []
        for length in options.prefillLengths {
            guard length <= context else {
                note("skipping a prompt of \(length) tokens: the context has \(context)")
                continue
            }
            note("prefill of \(length) tokens")
            measured += try measurePrefill(length)
            _ = probe?.measure(passes: 1)
        }
        let depths = options.decodeDepths.filter { depth in
            let fits = depth + options.decodeTokenCount <= context
            if !fits { note("skipping depth \(depth): the context has \(context) tokens") }
            return fits
        }
        for start in stride(from: 0, to: depths.count, by: states.count) {
            let some = Array(depths[start..<min(start + states.count, depths.count)])
            note("decoding after \(some.map(String.init).joined(separator: ", ")) tokens")
            measured += try measureDecoding(depths: some)
            _ = probe?.measure(passes: 1)
        }
        // There is always one or the other.
        guard let limits = probe?.measure() ?? earlierLimits else { preconditionFailure("nothing was measured") }
        let results = measured.map { result($0, limits) }
        return BenchmarkReport(
            model: modelFacts, limits: limits, storage: storage, cost: cost, results: results,
            batchBounds: batchBounds(limits))
    }

    // MARK: Measuring

    private struct Measured {
        var workload: Workload
        var sample: Sample
        /// Experts that a repetition used, on average.
        var expertCount: Int
        var before: PagingCounters
        var after: PagingCounters
    }

    private struct Workload {
        var kind: BenchmarkReport.Kind
        var tokenCount: Int
        var depth: Int
        var sequenceCount: Int
        /// Not timed.
        var prepare: () throws -> Void
        var body: () throws -> Void
    }

    /// Times `repetitionCount` calls of each workload, after one that isn't timed. They take turns, so that what else goes
    /// on on the machine slows all of them.
    private func measure(_ workloads: [Workload]) throws -> [Measured] {
        for workload in workloads {
            try workload.prepare()
            try workload.body()
        }
        var seconds = workloads.map { _ in [Double]() }
        var used = workloads.map { _ in UInt64(0) }
        let before = model.experts.counters
        for _ in 0..<options.repetitionCount {
            for (index, workload) in workloads.enumerated() {
                try workload.prepare()
                let usedBefore = model.experts.counters.uses
                seconds[index].append(try ContinuousClock().measure(workload.body).seconds)
                used[index] += model.experts.counters.uses - usedBefore
            }
        }
        let after = model.experts.counters
        return workloads.indices.map {
            Measured(
                workload: workloads[$0], sample: Sample(seconds: seconds[$0]),
                expertCount: Int(used[$0]) / options.repetitionCount, before: before, after: after)
        }
    }

    private func measurePrefill(_ count: Int) throws -> [Measured] {
        let tokens = randomTokens(count)
        let state = states[0][0]
        return try measure([
            Workload(kind: .prefill, tokenCount: count, depth: 0, sequenceCount: 1, prepare: { state.reset() }) {
                try self.model.prefill(tokens[...], state: state)
            }
        ])
    }

    /// - Parameter depths: at most as many as take turns.
    private func measureDecoding(depths: [Int]) throws -> [Measured] {
        var workloads: [Workload] = []
        for (depth, states) in zip(depths, states) {
            for (index, state) in states.enumerated() where state.tokenCount < depth {
                state.reset()
                try model.prefill(randomTokens(depth, seed: index)[...], state: state)
            }
            workloads.append(decoding(depth: depth, states))
        }
        if storage != nil {
            // Until the arena is full of what is used, and what reading ahead gains is known.
            for _ in 0..<(Self.pagedWarmUp + options.decodeTokenCount - 1) / options.decodeTokenCount {
                for workload in workloads {
                    try workload.prepare()
                    try workload.body()
                }
            }
        }
        return try measure(workloads)
    }

    private func decoding(depth: Int, _ states: [DecodingState]) -> Workload {
        let count = options.decodeTokenCount
        // Tokens that come again would find their experts in memory.
        var repetition = 0
        return Workload(
            kind: .decode, tokenCount: count, depth: depth, sequenceCount: states.count,
            prepare: {
                for state in states { state.truncate(to: depth) }
                repetition += 1
            },
            body: {
                let tokens = states.indices.map { self.randomTokens(count, seed: 1000 * repetition + $0) }
                for place in 0..<count {
                    var steps = states.indices.map { SequenceStep(tokens[$0][place], state: states[$0]) }
                    self.model.step(&steps)
                    if let failure = steps.lazy.compactMap(\.failure).first { throw failure }
                }
            })
    }

    /// Tokens that are decoded before measuring where experts come from storage.
    private static let pagedWarmUp = 256

    /// Tokens without a pattern, the same in every run, so that the experts that they choose are spread.
    private func randomTokens(_ count: Int, seed: Int = 0) -> [Int32] {
        var seed = UInt64(seed + 1) &* 0x9e37_79b9_7f4a_7c15
        let vocabulary = UInt64(model.configuration.vocabularySize)
        return (0..<count).map { _ in
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int32((seed >> 33) % vocabulary)
        }
    }

    // MARK: Reporting

    private var modelFacts: BenchmarkReport.Model {
        BenchmarkReport.Model(
            path: container.path, family: model.configuration.family, type: container.metadata.recipe.type,
            fileByteCount: container.fileByteCount, kernels: model.kernels.name, threadCount: model.threadCount,
            chunk: model.plan.chunk, contextLength: model.plan.contextLength,
            cacheFormat: model.plan.cacheFormat.rawValue, slotCount: model.plan.slotCount,
            expertCount: model.plan.expertCount, planes: model.plan.planesInForce?.rawValue,
            refinedExpertCount: model.plan.heat?.refinedExpertCount, refinedUse: model.plan.heat?.recordedUse,
            storageBytesPerSecond: options.storageBytesPerSecond, isDense: options.isDense,
            routing: options.routingDescription)
    }

    private func result(_ measured: Measured, _ limits: MachineLimits) -> BenchmarkReport.Result {
        let workload = measured.workload
        let counted =
            switch workload.kind {
            case .decode:
                cost.decode(
                    count: workload.tokenCount, depth: workload.depth, sequences: workload.sequenceCount,
                    experts: measured.expertCount)
            case .prefill:
                cost.prefill(count: workload.tokenCount, chunk: model.plan.chunk, experts: measured.expertCount)
            }
        let seconds = measured.sample.median
        let bytes = counted.byteCount / seconds
        let multiplyAdds = counted.matrixMultiplyAdds / seconds
        let count = Double(workload.tokenCount * workload.sequenceCount)
        return BenchmarkReport.Result(
            kind: workload.kind, tokenCount: workload.tokenCount, depth: workload.depth,
            sequenceCount: workload.sequenceCount, sample: measured.sample, tokensPerSecond: count / seconds,
            slowestTokensPerSecond: count / measured.sample.longest,
            fastestTokensPerSecond: count / measured.sample.shortest, expertCount: measured.expertCount,
            counted: counted,
            bytesPerSecond: bytes, bandwidthShare: bytes / limits.readBandwidth,
            multiplyAddsPerSecond: multiplyAdds, peakShare: multiplyAdds / limits.multiplyAddRate,
            storageByteCount: measured.after.bytesRead - measured.before.bytesRead,
            paging: paging(measured, counted, limits))
    }

    private func paging(
        _ measured: Measured, _ counted: StepCost.Count, _ limits: MachineLimits
    ) -> BenchmarkReport.Paging? {
        guard let storage else { return nil }
        let (workload, repetitions) = (measured.workload, options.repetitionCount)
        var paging = BenchmarkReport.Paging(
            from: measured.before, to: measured.after,
            tokenCount: workload.tokenCount * workload.sequenceCount * repetitions,
            byteCount: counted.byteCount * Double(repetitions), expertByteCount: cost.expertByteCount,
            storageBandwidth: storage.bytesPerSecond, readBandwidth: limits.readBandwidth)
        if workload.kind == .prefill {
            let chunks = (workload.tokenCount + model.plan.chunk - 1) / model.plan.chunk
            let sources = container.sources(planes: model.plan.planes ?? .coarse)
            let all = sources.reduce(0.0) { $0 + Double($1.storedByteCount) }
            paging.chunkCount = chunks
            paging.readsOfAllExperts =
                Double(measured.after.bytesRead - measured.before.bytesRead) / (all * Double(chunks * repetitions))
        }
        return paging
    }

    private func batchBounds(_ limits: MachineLimits) -> [BenchmarkReport.BatchBound] {
        [1, max(8, options.sequenceCount)].map { sequences in
            let byteCount = cost.batchByteCount(sequences: sequences, depth: 0)
            return BenchmarkReport.BatchBound(
                sequenceCount: sequences, depth: 0,
                distinctExpertsPerLayer: cost.distinctExperts(sequences: sequences), byteCount: byteCount,
                tokensPerSecond: Double(sequences) * limits.readBandwidth / byteCount)
        }
    }
}

extension LoadedModel {
    /// Brings every expert into memory, where each has a slot of its own.
    func readAllExperts() throws(ModelError) {
        let all = (0..<(configuration.experts?.routedExpertCount ?? 0)).map { Int32($0) }
        var tickets: [ExpertStore.Ticket] = []
        for layer in configuration.sparseLayers.indices where configuration.sparseLayers[layer] {
            defer { experts.release(&tickets) }
            do {
                try experts.acquire(layer: layer, experts: all.span, into: &tickets)
                for ticket in tickets { _ = try unsafe experts.wait(ticket) }
            } catch {
                throw ModelError(.unreadableExpert, "layer \(layer)'s experts could not be read", cause: error)
            }
        }
    }
}

import Compute
package import Container
import ExpertPaging
import Model

/// Loads a model, runs it as the daemon would, and holds what it reached against what the machine can do.
package final class Benchmark {
    private let container: ContainerReader
    private let options: BenchmarkOptions
    private let model: LoadedModel
    private let state: DecodingState
    private let probe: LimitProbe
    private let cost: StepCost
    private let note: (String) -> Void

    /// Takes the probe's buffer, plans and loads the model, and reads in as many experts as have a place.
    ///
    /// Throws `ModelError` or `ComputeError`.
    ///
    /// - Parameter note: told what goes on, a line at a time.
    package init(
        container: ContainerReader, options: BenchmarkOptions, note: @escaping (String) -> Void = { _ in }
    ) throws {
        self.container = container
        self.options = options
        self.note = note
        let available = AvailableMemory.current()?.byteCount ?? 0
        // The model goes first where memory is short.
        let byteCount = options.bufferByteCount ?? min(LimitProbe.defaultByteCount, max(available / 8, 32 << 20))
        probe = try LimitProbe(kernels: options.kernels, threadCount: options.threadCount, byteCount: byteCount)

        var plan = options.plan
        let configuration = container.metadata.configuration
        let longest = max(
            options.prefillLengths.max() ?? 0, (options.decodeDepths.max() ?? 0) + options.decodeTokenCount, 1)
        plan.context = plan.context ?? min(longest, configuration.contextLength)
        if options.isDense { plan.expertsPerToken = configuration.experts?.routedExpertCount }
        let planned = try MemoryPlan(container: container, options: plan)
        for warning in planned.warnings { note("warning: \(warning)") }
        note("loading \(container.path)")
        model = try LoadedModel(
            container: container, plan: planned, threadCount: options.threadCount, kernels: options.kernels)
        state = try model.makeState()
        cost = StepCost(
            container: container, configuration: model.configuration, cacheFormat: planned.cacheFormat)
        if planned.slotCount == planned.expertCount { try model.readAllExperts() }
    }

    /// Measures everything that was asked for. Throws `ModelError`.
    package func run() throws -> BenchmarkReport {
        note("measuring the machine")
        _ = probe.measure()
        var raw: [(kind: BenchmarkReport.Kind, count: Int, depth: Int, Measured)] = []
        for length in options.prefillLengths {
            guard length <= state.capacity else {
                note("skipping a prompt of \(length) tokens: the context has \(state.capacity)")
                continue
            }
            note("prefill of \(length) tokens")
            raw.append((.prefill, length, 0, try measurePrefill(length)))
        }
        for depth in options.decodeDepths {
            guard depth + options.decodeTokenCount <= state.capacity else {
                note("skipping depth \(depth): the context has \(state.capacity) tokens")
                continue
            }
            note("decoding after \(depth) tokens")
            raw.append((.decode, options.decodeTokenCount, depth, try measureDecode(depth: depth)))
        }
        let limits = probe.measure()
        let results = raw.map { result($0.kind, count: $0.count, depth: $0.depth, $0.3, limits) }
        return BenchmarkReport(
            model: modelFacts, limits: limits, cost: cost, results: results, batchBounds: batchBounds(limits))
    }

    // MARK: Measuring

    private struct Measured {
        var sample: Sample
        /// Experts that a repetition used, on average.
        var expertCount: Int
        var storageByteCount: UInt64
    }

    /// Times `repetitionCount` calls of `body`, after one that isn't timed. `prepare` isn't timed either.
    private func measure(prepare: () throws -> Void, _ body: () throws -> Void) rethrows -> Measured {
        try prepare()
        try body()
        var seconds: [Double] = []
        let before = model.experts.counters
        for _ in 0..<options.repetitionCount {
            try prepare()
            seconds.append(try ContinuousClock().measure(body).seconds)
        }
        let after = model.experts.counters
        let used = after.hits + after.misses - before.hits - before.misses
        return Measured(
            sample: Sample(seconds: seconds), expertCount: Int(used) / options.repetitionCount,
            storageByteCount: after.bytesRead - before.bytesRead)
    }

    private func measurePrefill(_ count: Int) throws -> Measured {
        let tokens = randomTokens(count)
        return try measure(prepare: { state.reset() }) { try model.prefill(tokens[...], state: state) }
    }

    private func measureDecode(depth: Int) throws -> Measured {
        if state.tokenCount < depth {
            state.reset()
            try model.prefill(randomTokens(depth)[...], state: state)
        }
        let tokens = randomTokens(options.decodeTokenCount)
        return try measure(prepare: { state.truncate(to: depth) }) {
            for token in tokens { try unsafe model.decode(token, state: state) }
        }
    }

    /// Tokens without a pattern, the same in every run, so that the experts that they choose are spread.
    private func randomTokens(_ count: Int) -> [Int32] {
        var seed: UInt64 = 0x9e37_79b9_7f4a_7c15
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
            expertCount: model.plan.expertCount, isDense: options.isDense)
    }

    private func result(
        _ kind: BenchmarkReport.Kind, count: Int, depth: Int, _ measured: Measured, _ limits: MachineLimits
    ) -> BenchmarkReport.Result {
        let counted =
            switch kind {
            case .decode: cost.decode(count: count, depth: depth)
            case .prefill: cost.prefill(count: count, chunk: model.plan.chunk, experts: measured.expertCount)
            }
        let seconds = measured.sample.median
        let bytes = counted.byteCount / seconds
        let multiplyAdds = counted.matrixMultiplyAdds / seconds
        return BenchmarkReport.Result(
            kind: kind, tokenCount: count, depth: depth, sample: measured.sample,
            tokensPerSecond: Double(count) / seconds,
            slowestTokensPerSecond: Double(count) / measured.sample.longest,
            fastestTokensPerSecond: Double(count) / measured.sample.shortest, counted: counted,
            bytesPerSecond: bytes, bandwidthShare: bytes / limits.readBandwidth,
            multiplyAddsPerSecond: multiplyAdds, peakShare: multiplyAdds / limits.multiplyAddRate,
            storageByteCount: measured.storageByteCount)
    }

    private func batchBounds(_ limits: MachineLimits) -> [BenchmarkReport.BatchBound] {
        [1, 8].map { sequences in
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

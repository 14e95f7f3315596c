package import Container
package import ExpertPaging

/// How the memory that may be used is divided, decided before anything is loaded:
/// dense weights + KV cache + scratch + expert arena ≤ budget. The process's own base isn't counted.
package struct MemoryPlan: Sendable {
    package struct Options: Sendable {
        /// Bytes to use at most; nil for what the system and the control group leave.
        package var memory: Int?
        /// Positions of one sequence; nil for the most that a quarter of the memory holds, up to the model's own.
        package var context: Int?
        /// Exactly so many expert slots instead of as many as fit.
        package var expertSlots: Int?
        /// Threads that read experts, and whether they read past the page cache.
        package var laneCount: Int
        package var isDirect = false
        /// nil: bf16, or f32 for a container in f32.
        package var cacheFormat: CacheFormat?
        /// Tokens of a prompt that are computed together; nil for the most, up to 512, whose scratch takes no more than
        /// an eighth of the memory.
        package var chunk: Int?
        /// Sequences that step together at most; nil for one for every 512 positions of the KV cache, up to 8.
        package var sequences: Int?
        /// Planes of experts that have two; nil for both if all experts have room with both, and else the coarse one.
        package var planes: PlaneChoice?
        /// What is recorded of the experts' use, for `.heat`.
        package var popularity: PopularityFile?
        /// With `.heat`: exactly so many experts with both planes instead of as many as are worth it.
        package var refinedExpertCount: Int?
        /// Routed experts that a token goes through instead of the model's own number, to measure with.
        package var expertsPerToken: Int?

        package init(
            memory: Int? = nil, context: Int? = nil, expertSlots: Int? = nil,
            laneCount: Int = ExpertStore.defaultLaneCount, cacheFormat: CacheFormat? = nil, chunk: Int? = nil,
            sequences: Int? = nil, planes: PlaneChoice? = nil, popularity: PopularityFile? = nil,
            expertsPerToken: Int? = nil
        ) {
            self.memory = memory
            self.context = context
            self.expertSlots = expertSlots
            self.laneCount = laneCount
            self.cacheFormat = cacheFormat
            self.chunk = chunk
            self.sequences = sequences
            self.planes = planes
            self.popularity = popularity
            self.expertsPerToken = expertsPerToken
        }
    }

    package let budget: Int
    /// Who set the budget: `--memory`, or the file that the figure was read from.
    package let budgetSource: String
    package let denseByteCount: Int
    package let cacheByteCount: Int
    package let scratchByteCount: Int
    package let arenaByteCount: Int
    /// What the least plan would take.
    package let leastByteCount: Int
    /// Positions of one sequence at most.
    package let contextLength: Int
    /// Blocks of the KV cache: enough for one sequence of `contextLength`. Several share them.
    package let cacheBlockCount: Int
    package let sequenceCount: Int
    package let chunk: Int
    package let cacheFormat: CacheFormat
    package let laneCount: Int
    /// Whether experts are read past the page cache.
    package let isDirect: Bool
    package let slotCount: Int
    package let leastSlotCount: Int
    package let expertCount: Int
    /// Bytes of the experts that one token uses, all layers together, and how many those are.
    package internal(set) var tokenByteCount: Int
    package let tokenExpertCount: Int
    /// Bytes of a token's experts as they are read if they aren't in memory.
    package internal(set) var missedTokenByteCount: Int
    /// nil for the model's own.
    package let expertsPerToken: Int?
    /// Which planes of the experts are used; nil where they have only one.
    package internal(set) var planes: ExpertPlanes?
    /// Why, to be read after what.
    package internal(set) var planesReason = ""
    /// nil unless the heat was to decide.
    package internal(set) var heat: HeatShare?
    /// What the person should know before it starts.
    package internal(set) var warnings: [String]

    /// Part of the experts that have a slot, 0…1.
    package var slotFraction: Double { expertCount == 0 ? 1 : Double(slotCount) / Double(expertCount) }

    package var byteCount: Int { denseByteCount + cacheByteCount + scratchByteCount + arenaByteCount }

    static let defaultChunk = 512
    /// A default context isn't made smaller than this to make room for the rest.
    static let leastContext = 512
    /// A default chunk isn't made smaller than this.
    static let leastChunk = 16
    static let mostDefaultSequences = 8

    /// - Parameter available: what to plan with when the options don't say.
    package init(
        container: ContainerReader, options: Options, available: AvailableMemory? = .current()
    ) throws(ModelError) {
        func footprint(_ planes: ExpertPlanes) -> ModelFootprint {
            ModelFootprint(
                container: container, planes: planes, laneCount: options.laneCount,
                expertsPerToken: options.expertsPerToken)
        }
        try self.init(
            coarse: footprint(.coarse), both: container.refinements.isEmpty ? nil : footprint(.both),
            heat: options.planes == .heat ? ExpertHeat(options.popularity, container: container) : nil,
            cacheFormat: options.cacheFormat ?? .default(for: container), options: options, available: available)
    }

    /// - Parameter available: what to plan with when the options don't say.
    package init(
        footprint: ModelFootprint, cacheFormat: CacheFormat, options: Options, available: AvailableMemory?
    ) throws(ModelError) {
        try Self.check(options, footprint)
        let configuration = footprint.configuration
        let arena = footprint.arena
        let budget = options.memory ?? available?.budget ?? 0
        let source = options.memory == nil ? available?.source ?? "nothing that says what is available" : "--memory"

        func scratchSize(chunk: Int) -> Int {
            footprint.scratchByteCount(chunk: chunk, sequences: options.sequences ?? 1)
        }
        let leastContext = options.context ?? min(configuration.contextLength, Self.leastContext)
        let leastChunk = options.chunk ?? min(configuration.contextLength, Self.leastChunk)
        let leastSlots = options.expertSlots ?? arena.leastSlotCount
        guard leastSlots >= arena.leastSlotCount, let leastArena = arena.byteCount(slotCount: leastSlots) else {
            throw Self.tooFewSlots(leastSlots, footprint, options)
        }
        let least = Parts(
            dense: footprint.denseByteCount,
            cache: footprint.cacheByteCount(tokens: leastContext, format: cacheFormat),
            scratch: scratchSize(chunk: leastChunk) + footprint.inputByteCount(tokens: leastContext),
            arena: leastArena)
        guard least.sum <= budget else {
            throw Self.insufficient(least, context: leastContext, slots: leastSlots, budget: budget, source: source)
        }

        var chunk = options.chunk ?? min(configuration.contextLength, Self.defaultChunk)
        while options.chunk == nil, chunk > leastChunk,
            scratchSize(chunk: chunk) > max(budget / 8, scratchSize(chunk: leastChunk))
                || least.sum - scratchSize(chunk: leastChunk) + scratchSize(chunk: chunk) > budget
        {
            chunk = max(chunk / 2, leastChunk)
        }
        var scratch = scratchSize(chunk: chunk)

        let blockByteCount = footprint.cacheByteCount(tokens: KeyValueCache.blockLength, format: cacheFormat)
        func blocks(beside arena: Int, and inputByteCount: Int = 0) -> Int {
            min(budget / 4, budget - least.dense - scratch - arena) / (blockByteCount + inputByteCount)
        }
        var context = leastContext
        if options.context == nil {
            let inputByteCount = footprint.inputByteCount(tokens: KeyValueCache.blockLength)
            let room = blocks(beside: least.arena, and: inputByteCount) * KeyValueCache.blockLength
            context = min(max(room, leastContext), configuration.contextLength)
        }
        scratch += footprint.inputByteCount(tokens: context)
        // Several sequences get room of their own where it takes nothing from the experts.
        let perSequence = KeyValueCache.blockCount(tokens: context)
        let allExperts = arena.byteCount(slotCount: options.expertSlots ?? arena.expertCount) ?? least.arena
        let wanted = (options.sequences ?? Self.mostDefaultSequences) * perSequence
        let cacheBlocks = max(perSequence, min(wanted, blocks(beside: allExperts)))
        let cache = blockByteCount * cacheBlocks

        let slots =
            options.expertSlots ?? arena.slotCount(byteCount: budget - least.dense - scratch - cache) ?? leastSlots
        self.budget = budget
        budgetSource = source
        denseByteCount = least.dense
        cacheByteCount = cache
        scratchByteCount = scratch
        arenaByteCount = arena.byteCount(slotCount: slots) ?? least.arena
        leastByteCount = least.sum
        contextLength = context
        cacheBlockCount = cacheBlocks
        sequenceCount =
            options.sequences
            ?? min(
                max(cacheBlocks * KeyValueCache.blockLength / min(Self.leastContext, context), 1),
                Self.mostDefaultSequences)
        self.chunk = chunk
        self.cacheFormat = cacheFormat
        laneCount = options.laneCount
        isDirect = options.isDirect
        slotCount = min(slots, arena.expertCount)
        leastSlotCount = arena.leastSlotCount
        expertCount = arena.expertCount
        tokenByteCount = footprint.expertBytesOfOneToken
        missedTokenByteCount = footprint.expertBytesOfOneToken
        tokenExpertCount = footprint.expertsOfOneToken
        expertsPerToken = options.expertsPerToken
        warnings = Self.warnings(slots: min(slots, arena.expertCount), footprint)
    }

    private struct Parts {
        var dense: Int
        var cache: Int
        var scratch: Int
        var arena: Int

        var sum: Int { dense + cache + scratch + arena }
    }

    private static func check(_ options: Options, _ footprint: ModelFootprint) throws(ModelError) {
        func require(_ name: String, _ value: Int?, in range: ClosedRange<Int>) throws(ModelError) {
            guard let value, !range.contains(value) else { return }
            throw ModelError(
                .invalidOption,
                "\(name) is \(value), and it must be from \(range.lowerBound) to \(range.upperBound)")
        }
        try require("memory", options.memory, in: 1...1 << 62)
        try require("context", options.context, in: 1...footprint.configuration.contextLength)
        try require("chunk", options.chunk, in: 1...4096)
        try require("the number of sequences", options.sequences, in: 1...64)
        try require("the number of reading lanes", options.laneCount, in: 1...64)
        try require(
            "the number of experts a token", options.expertsPerToken,
            in: 1...max(footprint.configuration.experts?.routedExpertCount ?? 1, 1))
    }

    private static func tooFewSlots(_ slots: Int, _ footprint: ModelFootprint, _ options: Options) -> ModelError {
        let arena = footprint.arena
        return ModelError(
            .insufficientMemory,
            "\(slots) expert slots were asked for, and \(arena.leastSlotCount) is the least that works: "
                + "\(arena.expertsPerToken) experts of one layer for one token and one for each of "
                + "\(options.laneCount) reading lanes")
    }

    private static func insufficient(
        _ least: Parts, context: Int, slots: Int, budget: Int, source: String
    ) -> ModelError {
        let needed = MemorySize(byteCount: least.sum)
        return ModelError(
            .insufficientMemory,
            "the model needs at least \(least.sum) bytes (\(needed)) and the budget is \(budget) bytes "
                + "(\(MemorySize(byteCount: budget)), from \(source)). The least is made of dense weights "
                + "\(MemorySize(byteCount: least.dense)), KV cache for \(context) tokens "
                + "\(MemorySize(byteCount: least.cache)), scratch \(MemorySize(byteCount: least.scratch)) and "
                + "\(slots) expert slots \(MemorySize(byteCount: least.arena)). "
                + "Give --memory \(needed.optionValue) or more, or a smaller --context")
    }

    private static func warnings(slots: Int, _ footprint: ModelFootprint) -> [String] {
        let perToken = footprint.expertsOfOneToken
        guard slots < min(perToken, footprint.arena.expertCount) else { return [] }
        let bytes = footprint.expertBytesOfOneToken
        let rate = Double(200 << 20) / Double(max(bytes, 1))
        let rounded = rate < 10 ? "\((rate * 10).rounded() / 10)" : "\(Int(rate))"
        return [
            "the expert arena holds \(slots) experts and one token uses \(perToken), so almost every expert is read "
                + "from storage for every token: up to \(MemorySize(byteCount: bytes)) a token, which is at most about "
                + "\(rounded) tokens/s on storage that reads 200 MiB/s"
        ]
    }
}

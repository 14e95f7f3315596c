import Container
import ExpertPaging
import Model
import Testing

@Suite struct MemoryPlanTests {
    /// DeepSeek-V2-Lite's shape: 26 sparse layers of 64 experts, 6 a token, 4.87 MB each.
    private let footprint = ModelFootprint(
        configuration: ModelConfiguration(
            family: "deepseek_v2", vocabularySize: 102400, hiddenSize: 2048, layerCount: 27, contextLength: 163_840,
            normEpsilon: 1e-6,
            attention: .latent(
                ModelConfiguration.LatentAttention(
                    headCount: 16, queryLatentRank: nil, keyValueLatentRank: 512, plainHeadSize: 128, ropeHeadSize: 64,
                    valueHeadSize: 128, latentNormEpsilon: 1e-6, softmaxScale: 0.1)),
            rotary: ModelConfiguration.Rotary(theta: 10000, pairing: .interleaved, yarn: nil), activation: .silu,
            denseIntermediateSize: 10944, sparseLayers: [false] + Array(repeating: true, count: 26),
            experts: ModelConfiguration.Experts(
                routedExpertCount: 64, expertsPerToken: 6, intermediateSize: 1408, sharedIntermediateSize: 2816,
                router: ModelConfiguration.Router(
                    scoring: .softmax, hasSelectionBias: false, groupCount: 1, groupsPerToken: 1, groupScore: .maximum,
                    normalizesWeights: false, weightScale: 1)),
            beginToken: nil, endTokens: []),
        denseByteCount: 800 << 20,
        arena: ArenaShape(
            blobByteCounts: Array(repeating: 4_866_048, count: 26 * 64), expertsPerToken: 6, laneCount: 2))

    private func plan(
        _ options: MemoryPlan.Options, cacheFormat: CacheFormat = .bf16, available: AvailableMemory? = nil
    ) throws -> MemoryPlan {
        try MemoryPlan(footprint: footprint, cacheFormat: cacheFormat, options: options, available: available)
    }

    @Test(arguments: [1500, 2048, 3000, 6000, 9000, 20_000])
    func staysWithinTheBudget(mebibytes: Int) throws {
        let plan = try plan(.init(memory: mebibytes << 20))
        #expect(plan.byteCount <= mebibytes << 20)
        #expect(plan.slotCount >= 8)
        #expect(plan.slotCount <= 26 * 64)
        #expect(plan.chunk >= 16)
        // What is left over isn't enough for another expert.
        if plan.slotCount < 26 * 64 { #expect(plan.byteCount + 4_866_048 > mebibytes << 20) }
    }

    @Test func theContextTakesAQuarter() throws {
        let perToken = 27 * 576 * 2
        let plan = try plan(.init(memory: 4 << 30))
        // In whole blocks.
        #expect(plan.contextLength == (1 << 30) / perToken / 64 * 64)
        #expect(try self.plan(.init(memory: 64 << 30)).contextLength == 163_840)
        let inFloats = try self.plan(.init(memory: 4 << 30), cacheFormat: .f32)
        #expect(inFloats.contextLength == (1 << 30) / perToken / 2 / 64 * 64)
    }

    @Test func sequencesShareTheCacheWhereExpertsNeedTheMemory() throws {
        let plan = try plan(.init(memory: 4 << 30, context: 2048))
        #expect(plan.cacheBlockCount == 2048 / 64)
        #expect(plan.sequenceCount == 4)
        #expect(try self.plan(.init(memory: 4 << 30, context: 512)).sequenceCount == 1)
        #expect(try self.plan(.init(memory: 4 << 30)).sequenceCount == 8)
        #expect(try self.plan(.init(memory: 4 << 30, context: 512, sequences: 3)).sequenceCount == 3)
    }

    @Test func sequencesGetRoomOfTheirOwnWhereThereIsSome() throws {
        let plan = try plan(.init(memory: 40 << 30, context: 4096))
        #expect(plan.slotCount == 26 * 64)
        #expect(plan.sequenceCount == 8)
        #expect(plan.cacheBlockCount == 8 * 4096 / 64)
        #expect(try self.plan(.init(memory: 40 << 30, context: 4096, sequences: 2)).cacheBlockCount == 2 * 4096 / 64)
        // A quarter of the memory is the most.
        #expect(try self.plan(.init(memory: 40 << 30)).cacheByteCount <= 10 << 30)
    }

    @Test func aGivenContextIsKept() throws {
        #expect(try plan(.init(memory: 4 << 30, context: 4096)).contextLength == 4096)
        #expect(try plan(.init(memory: 4 << 30, context: 4096)).cacheByteCount == 4096 * 27 * 576 * 2)
    }

    @Test func everythingFitsInEnough() throws {
        let plan = try plan(.init(memory: 40 << 30))
        #expect(plan.slotCount == 26 * 64)
        #expect(plan.warnings.isEmpty)
    }

    @Test func theLeastIsExact() throws {
        let error = try #require(throws: ModelError.self) { try plan(.init(memory: 100 << 20)) }
        #expect(error.code == .insufficientMemory)
        let text = error.description
        let least = try #require(text.split(separator: " ").compactMap { Int($0) }.first { $0 > 100 << 20 })
        #expect(text.contains("--memory \(MemorySize(byteCount: least).optionValue)"))

        let smallest = try plan(.init(memory: least))
        #expect(smallest.byteCount == least)
        #expect(smallest.leastByteCount == least)
        #expect(smallest.slotCount == 8)
        #expect(throws: ModelError.self) { try plan(.init(memory: least - 1)) }
    }

    @Test func warnsBelowOneTokensExperts() throws {
        let needed = 26 * 6
        let enough = try plan(.init(memory: 8 << 30, context: 1024, expertSlots: needed))
        #expect(enough.warnings.isEmpty)
        let tooFew = try plan(.init(memory: 8 << 30, context: 1024, expertSlots: needed - 1))
        let warning = try #require(tooFew.warnings.first)
        #expect(warning.contains("155 experts and one token uses 156"))
        // 156 blobs of 4.64 MiB at 200 MiB/s.
        #expect(warning.contains("723.9 MiB a token"))
        #expect(warning.contains("about 0.3 tokens/s"))
    }

    @Test func refusesTooFewSlots() throws {
        #expect(try plan(.init(memory: 8 << 30, expertSlots: 8)).slotCount == 8)
        let error = try #require(throws: ModelError.self) { try plan(.init(memory: 8 << 30, expertSlots: 7)) }
        #expect(error.code == .insufficientMemory)
        #expect(error.description.contains("8 is the least"))
    }

    @Test(arguments: [
        MemoryPlan.Options(memory: 0), .init(memory: 1 << 33, context: 0), .init(memory: 1 << 33, context: 163_841),
        .init(memory: 1 << 33, chunk: 0), .init(memory: 1 << 33, laneCount: 0), .init(memory: 1 << 33, sequences: 0),
    ])
    func refusesOptionsOutOfRange(_ options: MemoryPlan.Options) {
        let error = #expect(throws: ModelError.self) { try plan(options) }
        #expect(error?.code == .invalidOption)
    }

    @Test func plansWithWhatIsAvailable() throws {
        let available = AvailableMemory(byteCount: 4 << 30, source: "/proc/meminfo")
        let plan = try plan(.init(), available: available)
        #expect(plan.budget == (4 << 30) - (512 << 20))
        #expect(plan.budgetSource == "/proc/meminfo")
        #expect(plan.byteCount <= plan.budget)
    }

    @Test func spaceForPackedExpertsIsScratch() throws {
        let packed = ModelFootprint(
            configuration: footprint.configuration, denseByteCount: footprint.denseByteCount, arena: footprint.arena,
            laneByteCount: 9_000_000)
        let options = MemoryPlan.Options(memory: 4 << 30, chunk: 64)
        let plain = try plan(options)
        let plan = try MemoryPlan(footprint: packed, cacheFormat: .bf16, options: options, available: nil)
        #expect(plan.scratchByteCount == plain.scratchByteCount + 9_000_000)
        #expect(plan.byteCount <= 4 << 30)
    }

    /// One file for small and large machines: 9.2 MB of both planes, 4.87 of the coarse one.
    @Test(
        arguments: [
            (1800, .coarse, 0.05...0.2), (4096, .coarse, 0.25...0.5), (12_000, .coarse, 1...1),
            (15_000, .coarse, 1...1), (24_000, .both, 1...1),
        ] as [(Int, ExpertPlanes, ClosedRange<Double>)])
    func planesFollowTheBudget(mebibytes: Int, planes: ExpertPlanes, fraction: ClosedRange<Double>) throws {
        let both = ModelFootprint(
            configuration: footprint.configuration, denseByteCount: footprint.denseByteCount,
            arena: ArenaShape(
                blobByteCounts: Array(repeating: 9_191_424, count: 26 * 64), expertsPerToken: 6, laneCount: 2),
            laneByteCount: 2 * 9_207_808)
        let plan = try MemoryPlan(
            coarse: footprint, both: both, cacheFormat: .bf16,
            options: .init(memory: mebibytes << 20, context: 4096), available: nil)
        #expect(plan.planes == planes && fraction.contains(plan.slotFraction))
        #expect(plan.byteCount <= mebibytes << 20)
        #expect(plan.lines.contains { $0.contains("plane") && $0.contains(plan.planesReason) })
        // What was asked for is done, whatever it costs.
        let asked = try MemoryPlan(
            coarse: footprint, both: both, cacheFormat: .bf16,
            options: .init(memory: mebibytes << 20, context: 4096, planes: .both), available: nil)
        #expect(asked.planes == .both && asked.slotFraction <= plan.slotFraction)
    }

    /// Where not even the least of both planes fits, the coarse ones do.
    @Test func theCoarsePlanesAreTheLast() throws {
        let both = ModelFootprint(
            configuration: footprint.configuration, denseByteCount: footprint.denseByteCount,
            arena: ArenaShape(
                blobByteCounts: Array(repeating: 90_000_000, count: 26 * 64), expertsPerToken: 6, laneCount: 2))
        func plan(_ mebibytes: Int) throws -> MemoryPlan {
            try MemoryPlan(
                coarse: footprint, both: both, cacheFormat: .bf16,
                options: .init(memory: mebibytes << 20, context: 512), available: nil)
        }
        let coarse = try plan(1100)
        #expect(coarse.planes == .coarse && coarse.planesReason.contains("more memory than there is"))
        let error = #expect(throws: ModelError.self) { try plan(700) }
        #expect(error?.code == .insufficientMemory)
    }

    @Test func linesAddUp() throws {
        let plan = try plan(.init(memory: 4 << 30))
        #expect(plan.lines.count == 5)
        let figures = plan.lines.map { line in
            Int(line.split(separator: " ").first { $0.allSatisfy(\.isNumber) } ?? "") ?? 0
        }
        #expect(figures.dropLast().reduce(0, +) == figures.last)
        #expect(figures.last == plan.byteCount)
    }
}

@Suite struct MemorySizeTests {
    @Test(arguments: [
        ("1", 1), ("1073741824", 1 << 30), ("900M", 900 << 20), ("1.5G", 3 << 29), ("2g", 2 << 30), ("64KiB", 64 << 10),
        ("1TB", 1 << 40), ("0.5K", 512),
    ])
    func reads(_ text: String, _ byteCount: Int) {
        #expect(MemorySize(text)?.byteCount == byteCount)
    }

    @Test(arguments: ["", "0", "-1", "M", "1X", "1 G", "1e99", "9999999999T", "1.2.3G", "nan", "0x10", "٣M"])
    func refuses(_ text: String) {
        #expect(MemorySize(text) == nil)
    }

    @Test(arguments: [
        (640, "640 B"), (1024, "1.0 KiB"), (1 << 20, "1.0 MiB"), (3 << 29, "1.5 GiB"), ((1 << 20) - 1, "1.0 MiB"),
    ])
    func shows(_ byteCount: Int, _ text: String) {
        #expect(MemorySize(byteCount: byteCount).description == text)
    }

    @Test func optionsRoundUp() {
        #expect(MemorySize(byteCount: (5 << 20) + 1).optionValue == "6M")
        #expect(MemorySize(byteCount: 5 << 20).optionValue == "5M")
    }
}

import Compute
import Container
import ExpertPaging
import Model
import Quantizer
import TestSupport
import Testing

/// Experts in two planes, of which the plan says how many are used.
@Suite struct PlaneTests {
    private func trace(_ model: LoadedModel, isStepwise: Bool = false) throws -> Trace {
        let golden = try Golden(.demo)
        return try Trace(
            Trace.Request(tokens: golden.tokens, isStepwise: isStepwise, greedyPromptCount: 48, greedyCount: 64),
            model: model)
    }

    private func expectIdentical(_ first: Trace, _ second: Trace) {
        #expect(areIdentical(first.logits, second.logits))
        #expect(areIdentical(first.hiddenStates, second.hiddenStates))
        #expect(first.greedyTokens == second.greedyTokens)
    }

    /// A container of one plane with the very matrices that the planes of `reader` give.
    private func plain(_ reader: ContainerReader, _ planes: ExpertPlanes, to path: String) throws -> ContainerReader {
        let writer = try ContainerWriter(path: path, replacing: false)
        for record in reader.arrays {
            guard case .tensor(let tensor) = record, reader.tensors[tensor.key] != nil else { continue }
            try writer.append(copyOf: record, from: reader)
        }
        for source in reader.sources(planes: planes).sorted(by: { $0.offset < $1.offset }) {
            let memory = try AlignedMemory(byteCount: source.byteCount)
            let scratch = try AlignedMemory(byteCount: max(1, source.scratchByteCount))
            try reader.readExpert(
                source, into: memory.base,
                scratch: UnsafeMutableRawBufferPointer(start: scratch.base, count: source.scratchByteCount),
                verify: true)
            try writer.append(
                expert: source.key, layout: source.layout,
                bytes: UnsafeRawBufferPointer(start: memory.base, count: source.byteCount), packing: .never)
        }
        var metadata = reader.metadata
        metadata.configuration.predictionLayers = nil
        metadata.losses = nil
        try writer.finish(metadata: metadata, text: reader.text)
        return try ContainerReader(path: path)
    }

    /// Expert n of a layer was used n times as often as expert 1.
    private func popularity(_ container: ContainerReader) -> PopularityFile {
        let perLayer = container.metadata.configuration.experts?.routedExpertCount ?? 1
        return PopularityFile(
            identity: container.indexChecksum,
            popularity: (0..<container.experts.count).map { Float(100 * ($0 % perLayer)) })
    }

    @Test(arguments: PlaneChoice.allCases) func planesAreWhatAPlainContainerOfTheSameCodesIs(choice: PlaneChoice) throws
    {
        let directory = try TemporaryDirectory()
        let nested = try TestContainers.container(.demo, .nested)
        let popularity = popularity(nested)
        // Half of the experts have a slot, which leaves both planes to less than half.
        let slots = choice == .heat ? nested.experts.count / 2 : nil
        let model = try load(nested, expertSlots: slots, planes: choice, popularity: popularity)
        let planes = try #require(model.plan.planes)
        let plain = try plain(nested, planes, to: "\(directory.path)/plain.moe")
        #expect(plain.refinements.isEmpty)
        let fineCount = plain.experts.values.count { $0.layout.gateUpFormat == .q8 }
        switch choice {
        case .coarse: #expect(fineCount == 0)
        case .both: #expect(fineCount == plain.experts.count)
        case .heat:
            #expect(fineCount == nested.experts.count / 2 - 8 && fineCount == model.plan.heat?.refinedExpertCount)
        }
        for isStepwise in [false, true] {
            expectIdentical(
                try trace(
                    load(nested, expertSlots: slots, planes: choice, popularity: popularity), isStepwise: isStepwise),
                try trace(load(plain), isStepwise: isStepwise))
        }
    }

    /// The most used experts have both planes, as many as are allowed, and what is in memory doesn't change what comes out.
    @Test func heatGoesByWhatIsRecorded() throws {
        let nested = try TestContainers.container(.demo, .nested)
        let popularity = popularity(nested)
        func plan(_ memory: Int, _ choice: PlaneChoice, _ popularity: PopularityFile?) throws -> MemoryPlan {
            try MemoryPlan(
                container: nested,
                options: .init(
                    memory: memory, context: 64, chunk: 16, sequences: 1, planes: choice, popularity: popularity))
        }
        let whole = try plan(1 << 30, .both, nil)
        let coarse = try plan(1 << 30, .coarse, nil)
        let least = try plan(1 << 30, .heat, popularity).leastByteCount
        // One more of each than was recorded.
        let uses = nested.experts.keys.map { 100 * $0.expert + 1 }.sorted()
        var counts: [Int] = []
        for part in 0...17 {
            let memory = least + part * (whole.byteCount - least) / 16
            let heat = try plan(memory, .heat, popularity)
            let alone = try plan(memory, .coarse, nil)
            let count = try #require(heat.heat?.refinedExpertCount)
            #expect(heat.byteCount <= memory && heat.planesInForce == .heat)
            counts.append(count)
            guard case .heat(let hot) = heat.planes else {
                #expect(heat.planes == (count == 0 ? .coarse : .both))
                continue
            }
            #expect(hot.count == count)
            let coldest = hot.map(\.expert).min() ?? 0
            #expect(hot.allSatisfy { $0.expert >= coldest })
            #expect(nested.experts.keys.allSatisfy { $0.expert <= coldest || hot.contains($0) })
            // By the record, no more than a tenth more is read; nothing where nothing was.
            if alone.slotCount == alone.expertCount { #expect(heat.slotCount == heat.expertCount) }
            func missed(_ slots: Int) -> Int { uses.dropLast(slots).reduce(0, +) }
            #expect(Double(missed(heat.slotCount)) <= 1.1 * Double(missed(alone.slotCount)))
            #expect(heat.lines.contains { $0.contains("of \(count) experts") && $0.contains("of the recorded use") })
        }
        // Where all coarse planes have room, more memory makes more of them hot.
        let rest = counts.drop { $0 < 2 }
        #expect(rest.elementsEqual(rest.sorted()) && rest.last == nested.experts.count && rest.count > 4, "\(counts)")
        #expect(coarse.byteCount < whole.byteCount)
    }

    @Test func withoutARecordHeatIsCoarseAndSaysSo() throws {
        let nested = try TestContainers.container(.demo, .nested)
        var foreign = popularity(nested)
        foreign.identity += 1
        var empty = popularity(nested)
        empty.popularity = empty.popularity.map { _ in 0 }
        for popularity in [nil, foreign, empty] {
            let plan = try MemoryPlan(
                container: nested, options: .init(memory: 1 << 30, context: 64, planes: .heat, popularity: popularity))
            #expect(plan.planes == .coarse && plan.planesInForce == .heat)
            #expect(plan.heat?.refinedExpertCount == 0 && plan.heat?.recordedUse == nil)
            #expect(plan.warnings.contains { $0.contains("nothing is recorded") && $0.contains("next start") })
        }
    }

    @Test(arguments: [PlaneChoice.coarse, .both], [6, 16, 128]) func arenasDontMatter(planes: PlaneChoice, slots: Int)
        throws
    {
        let nested = try TestContainers.container(.demo, .nested)
        expectIdentical(
            try trace(load(nested, planes: planes)), try trace(load(nested, expertSlots: slots, planes: planes)))
    }

    /// The finer planes are nearer to the reference, from which int8 elsewhere keeps both.
    @Test func refiningGainsWhatItShould() throws {
        let golden = try Golden(.demo)
        let nested = try TestContainers.container(.demo, .nested)
        let coarse = try relativeError(trace(load(nested, planes: .coarse)).logits, golden.logits)
        let both = try relativeError(trace(load(nested, planes: .both)).logits, golden.logits)
        #expect(both < coarse * 0.9, "\(both) \(coarse)")
    }

    @Test func planesAreForExpertsThatHaveThem() throws {
        let error = #expect(throws: ModelError.self) { try load(.demo, .int8, planes: .coarse) }
        #expect(error?.code == .invalidOption)
    }

    @Test func thePlanIsToldInWords() throws {
        let nested = try TestContainers.container(.demo, .nested)
        func plan(_ options: MemoryPlan.Options) throws -> MemoryPlan {
            try MemoryPlan(container: nested, options: options)
        }
        let whole = try plan(.init(memory: 1 << 30, context: 64))
        #expect(whole.planes == .both && whole.lines.contains { $0.contains("both planes") && $0.contains("has room") })
        let few = try plan(.init(memory: 1 << 30, context: 64, expertSlots: 20))
        #expect(few.planes == .coarse && few.lines.contains { $0.contains("coarse planes") && $0.contains("16 %") })
        #expect(few.arenaByteCount < whole.arenaByteCount * 20 / 128)
        #expect(try plan(.init(memory: 1 << 30, context: 64, planes: .coarse)).planes == .coarse)
        let forced = try plan(.init(memory: 1 << 30, context: 64, expertSlots: 20, planes: .both))
        #expect(forced.planes == .both && forced.slotCount == 20)
        #expect(try MemoryPlan(container: TestContainers.container(.demo, .int8), options: .init()).planes == nil)
    }
}

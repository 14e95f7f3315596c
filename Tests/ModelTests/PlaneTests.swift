import Compute
import Container
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

    @Test(arguments: ExpertPlanes.allCases) func planesAreWhatAPlainContainerOfTheSameCodesIs(planes: ExpertPlanes)
        throws
    {
        let directory = try TemporaryDirectory()
        let nested = try TestContainers.container(.demo, .nested)
        let plain = try plain(nested, planes, to: "\(directory.path)/plain.moe")
        #expect(plain.refinements.isEmpty)
        #expect(plain.experts.values.allSatisfy { $0.layout.gateUpFormat == (planes == .both ? .q8 : .q4) })
        for isStepwise in [false, true] {
            expectIdentical(
                try trace(load(nested, planes: planes), isStepwise: isStepwise),
                try trace(load(plain), isStepwise: isStepwise))
        }
    }

    @Test(arguments: ExpertPlanes.allCases, [6, 16, 128]) func arenasDontMatter(planes: ExpertPlanes, slots: Int) throws
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
        #expect(both < coarse * 0.8, "\(both) \(coarse)")
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

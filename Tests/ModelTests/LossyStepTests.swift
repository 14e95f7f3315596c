import Container
import ExpertPaging
import Model
import Quantizer
import Testing

/// Help in the model: who asks for it gets it, and nobody else notices.
@Suite struct LossyStepTests {
    private static let strong = LossyRouting(preferResident: 0.5, dropCold: 1)

    private func decode(
        _ model: LoadedModel, _ lossy: LossyRouting, from state: DecodingState? = nil
    ) throws -> [[Float]] {
        let tokens = try Golden(.demo).tokens
        let state = try state ?? model.makeState()
        state.lossy = lossy
        try model.prefill(tokens[..<20], state: state)
        return try tokens[20..<60].map { Array(try model.decode($0, state: state)) }
    }

    private func areAlike(_ first: [[Float]], _ second: [[Float]]) -> Bool {
        first.count == second.count && zip(first, second).allSatisfy { areIdentical($0, $1) }
    }

    @Test(arguments: [6, 24])
    func helpChangesResultsAndIsCounted(slots: Int) throws {
        let model = try load(.demo, .int4, expertSlots: slots)
        let expected = try decode(load(.demo, .int4), .off)
        let state = try model.makeState()
        let tokens = try Golden(.demo).tokens
        try model.prefill(tokens[..<20], state: state)
        state.lossy = Self.strong
        let before = model.experts.counters
        let watcher = ChoiceWatcher()
        var logits: [[Float]] = []
        for token in tokens[20..<60] { logits.append(Array(try model.decode(token, state: state, observer: watcher))) }
        let after = model.experts.counters

        #expect(!areAlike(logits, expected))
        let configuration = model.configuration
        let experts = try #require(configuration.experts)
        let choices = 40 * configuration.sparseLayers.count { $0 } * experts.expertsPerToken
        let use = state.lossyUse
        #expect(use.choiceCount == choices && watcher.count == choices)
        #expect(use.substitutedCount > 0 && use.droppedCount > 0)
        #expect(use.droppedCount == watcher.droppedCount)
        #expect(after.drops - before.drops == UInt64(use.droppedCount))
        #expect(after.substitutions - before.substitutions == UInt64(use.substitutedCount))
        // What was left out isn't asked for.
        #expect(after.hits + after.misses - before.hits - before.misses == UInt64(choices - use.droppedCount))
    }

    @Test func whereEverythingIsInMemoryNothingChanges() throws {
        let model = try load(.demo, .int4)
        let experts = try #require(model.configuration.experts)
        let all = (0..<Int32(experts.routedExpertCount)).map { $0 }
        var tickets: [ExpertStore.Ticket] = []
        for (layer, isSparse) in model.configuration.sparseLayers.enumerated() where isSparse {
            try model.experts.acquire(layer: layer, experts: all.span, into: &tickets)
            for ticket in tickets { _ = try model.experts.wait(ticket) }
            model.experts.release(&tickets)
        }
        let state = try model.makeState()
        let logits = try decode(model, Self.strong, from: state)
        #expect(areAlike(logits, try decode(load(.demo, .int4), .off)))
        #expect(state.lossyUse.choiceCount > 0)
        #expect(state.lossyUse.substitutedCount == 0 && state.lossyUse.droppedCount == 0)
    }

    @Test(arguments: [AttentionForm.expanded, .absorbed])
    func promptsAreReadWithout(form: AttentionForm) throws {
        let tokens = try Golden(.demo).tokens
        let (model, reference) = (
            try load(.demo, .int4, chunk: 16, expertSlots: 6), try load(.demo, .int4, chunk: 16, expertSlots: 6)
        )
        let (state, other) = (try model.makeState(), try reference.makeState())
        state.lossy = Self.strong
        try model.prefill(tokens[..<60], state: state, form: form)
        try reference.prefill(tokens[..<60], state: other, form: form)
        #expect(areIdentical(Array(model.logits), Array(reference.logits)))
        #expect(state.lossyUse == LossyRouting.Use())
        #expect(model.experts.counters.drops == 0 && model.experts.counters.substitutions == 0)
    }

    /// Sequences without help step beside one with it, and have the results that they have alone.
    @Test(arguments: [1, 2], [6, 24])
    func neighboursDontNotice(threads: Int, slots: Int) throws {
        let tokens = try Golden(.demo).tokens
        let expected = try decode(load(.demo, .int4), .off)
        let model = try load(.demo, .int4, expertSlots: slots, threads: threads)
        let states = try (0..<4).map { _ in
            let state = try model.makeState()
            try model.prefill(tokens[..<20], state: state)
            return state
        }
        states[1].lossy = Self.strong
        states[3].lossy = LossyRouting(preferResident: 0.3)
        for (index, token) in tokens[20..<60].enumerated() {
            var steps = states.map { SequenceStep(token, state: $0) }
            model.step(&steps)
            for plain in [0, 2] {
                #expect(areIdentical(Array(model.logits(of: steps[plain])), expected[index]))
            }
        }
        #expect(states[0].lossyUse == LossyRouting.Use() && states[2].lossyUse == LossyRouting.Use())
        #expect(states[1].lossyUse.droppedCount > 0 && states[3].lossyUse.droppedCount == 0)
        #expect(states[3].lossyUse.substitutedCount > 0)
    }
}

/// Counts what the routers are seen to choose.
private final class ChoiceWatcher: ForwardObserver {
    let observesLogits = false
    let observesChoices = true
    private(set) var count = 0
    private(set) var droppedCount = 0

    func observe(experts: Span<Int32>, layer: Int) {
        count += experts.count
        for rank in experts.indices where experts[rank] < 0 { droppedCount += 1 }
    }
}

import Container
import EncoderDecoder
import Model
import Quantizer
import Testing

@Suite("Steps of an encoder-decoder")
struct StepTests {
    private func state(_ model: EncoderDecoderModel, _ input: ArraySlice<Int32>) throws -> DecodingState {
        let state = try model.makeCache().makeState(capacity: model.plan.contextLength)
        try read(input, into: state, model)
        return state
    }

    private func read(
        _ input: ArraySlice<Int32>, into state: DecodingState, _ model: EncoderDecoderModel
    ) throws {
        var prefill = try model.beginPrefill(input, state: state)
        while !prefill.isDone { try model.advance(&prefill, stepsAside: false) { false } }
    }

    private func logits(_ token: Int32, _ state: DecodingState, _ model: EncoderDecoderModel) throws -> [UInt32] {
        var steps = [SequenceStep(token, state: state)]
        model.step(&steps, stepsAside: false) { _ in false }
        if let failure = steps[0].failure { throw failure }
        return model.logits(of: steps[0]).map(\.bitPattern)
    }

    /// Inputs of several lengths, one of them longer than a block of the cache.
    private func inputs() throws -> [ArraySlice<Int32>] {
        let golden = try SwitchModel.Golden()
        let long = golden.inputTokens + golden.decoderTokens + golden.inputTokens
        return [golden.inputTokens[...], golden.inputTokens[3..<9], golden.inputTokens[..<1], long[..<70]]
    }

    @Test func whoStepsAlongChangesNothing() throws {
        let model = try SwitchModel.load(.int8, context: 200, chunk: 16, sequences: 4)
        let inputs = try inputs()
        let tokens: [Int32] = [7, 174, 30, 174, 99]
        let alone = try inputs.map { input in
            let state = try state(model, input)
            return try tokens.map { try logits($0, state, model) }
        }
        let states = try inputs.map { try state(model, $0) }
        for (place, token) in tokens.enumerated() {
            var steps = states.map { SequenceStep(token, state: $0) }
            model.step(&steps, stepsAside: false) { _ in false }
            for (index, step) in steps.enumerated() {
                #expect(model.logits(of: step).map(\.bitPattern) == alone[index][place])
            }
        }
    }

    /// Neither what was computed nor what the experts took remains of it.
    @Test func aCancelledStepLeavesTheStateAsItWas() throws {
        let model = try SwitchModel.load(.int8)
        let input = try SwitchModel.Golden().inputTokens[...]
        let undisturbed = try state(model, input)
        let expected = try (0..<20).map { _ in try logits(174, undisturbed, model) }
        // The expert is full by now, so counting a token twice would show.
        #expect((undisturbed.expertUses?.droppedCount ?? 0) > 36 - 6)
        let state = try state(model, input)
        for (place, logits) in expected.enumerated() {
            for layers in 0..<4 {
                var asked = 0
                var steps = [SequenceStep(174, state: state)]
                model.step(&steps, stepsAside: false) { _ in
                    asked += 1
                    return asked > layers
                }
                #expect(steps[0].failure?.code == .cancelled)
                #expect(state.tokenCount == input.count + place)
            }
            #expect(try self.logits(174, state, model) == logits)
        }
        #expect(state.expertUses?.droppedCount == undisturbed.expertUses?.droppedCount)
    }

    @Test func aCancelledInputLeavesTheStateEmpty() throws {
        let model = try SwitchModel.load(.int8, chunk: 16)
        let input = try SwitchModel.Golden().inputTokens[...]
        let state = try state(model, input)
        let expected = model.logits.map(\.bitPattern)
        for layers in 0..<8 {
            state.reset()
            var prefill = try model.beginPrefill(input, state: state)
            for _ in 0..<layers { try model.advance(&prefill, stepsAside: false) { false } }
            #expect(prefill.processedCount < input.count)
            let error = #expect(throws: ModelError.self) { try model.advance(&prefill, stepsAside: false) { true } }
            #expect(error?.code == .cancelled && state.tokenCount == 0)
            try read(input, into: state, model)
            #expect(model.logits.map(\.bitPattern) == expected)
        }
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let model = try SwitchModel.load(context: 48)
        #expect(model.contextLength == 47)
        let input = try SwitchModel.Golden().inputTokens
        let state = try model.makeCache().makeState(capacity: model.plan.contextLength)
        let long = #expect(throws: ModelError.self) { try model.beginPrefill((input + input)[...], state: state) }
        #expect(long?.code == .contextExceeded)
        let strange = #expect(throws: ModelError.self) { try model.beginPrefill([3, 256], state: state) }
        #expect(strange?.code == .invalidToken)
        try read((input + input)[..<47], into: state, model)
    }

    /// Where text goes on token by token, this model has nothing to say.
    @Test func itIsntADecoder() throws {
        let container = try SwitchModel.container()
        let plan = try MemoryPlan(container: container, options: MemoryPlan.Options(memory: 1 << 28, context: 64))
        let model = try LoadedModel(container: container, plan: plan)
        let state = try model.makeState()
        let error = #expect(throws: ModelError.self) { try model.prefill([5, 6, 7], state: state) }
        #expect(error?.code == .unsupported)
        #expect(throws: ModelError.self) { try model.decode(5, state: state) }
    }

    /// The plan counts what reading an input takes, and what is left for the context shrinks by it.
    @Test func thePlanHoldsTheInput() throws {
        let container = try SwitchModel.container()
        func plan(_ options: MemoryPlan.Options) throws -> MemoryPlan {
            try MemoryPlan(container: container, options: options)
        }
        let short = try plan(.init(memory: 1 << 30, context: 64, chunk: 16, sequences: 1))
        let long = try plan(.init(memory: 1 << 30, context: 1088, chunk: 16, sequences: 1))
        // Of 1024 tokens more the states, and a layer's keys and values; and those of the decoder's four layers.
        #expect(long.scratchByteCount - short.scratchByteCount == 1024 * 3 * 64 * 4)
        #expect(long.cacheByteCount - short.cacheByteCount == 1024 * 4 * 2 * 64 * 4)
        let tight = try plan(.init(memory: short.leastByteCount + 8 << 20))
        #expect(tight.byteCount <= tight.budget && tight.contextLength > 64)
    }
}

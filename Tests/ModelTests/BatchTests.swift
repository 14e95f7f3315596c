import Container
import Model
import Quantizer
import TestSupport
import Testing

/// Sequences that step together have the results that each has alone, bit for bit.
@Suite struct BatchTests {
    /// One sequence as a test drives it: a prompt, then fixed tokens.
    private struct Script {
        var prompt: ArraySlice<Int32>
        var tokens: ArraySlice<Int32>

        init(_ index: Int, count: Int) throws {
            let golden = try Golden(.demo).tokens
            prompt = golden[index * 7..<index * 7 + 5 + index * 11]
            tokens = golden.suffix(count + index).prefix(count)
        }

        /// [steps][vocabulary], the prompt's own first.
        func alone(_ model: LoadedModel) throws -> [[Float]] {
            let state = try model.makeState()
            try model.prefill(prompt, state: state)
            return try [Array(model.logits)] + tokens.map { Array(try model.decode($0, state: state)) }
        }
    }

    private static let scriptCount = 6

    private func scripts(count: Int = 12) throws -> [Script] {
        try (0..<Self.scriptCount).map { try Script($0, count: count) }
    }

    @Test(arguments: [1, 2, 3], [6, 16, 128])
    func neighboursDontMatter(threads: Int, slots: Int) throws {
        let scripts = try scripts()
        let reference = try load(.demo, .int4)
        let expected = try scripts.map { try $0.alone(reference) }

        let model = try load(.demo, .int4, expertSlots: slots, threads: threads)
        let cache = try model.makeCache()
        var random = SplitMix(seed: UInt64(threads * 1000 + slots))
        var states: [DecodingState?] = Array(repeating: nil, count: scripts.count)
        var done = Array(repeating: 0, count: scripts.count)
        while zip(done, scripts).contains(where: { $0 < $1.tokens.count }) {
            // Some join, with a prefill of their own, and some sit this step out.
            for index in scripts.indices where states[index] == nil && random.next() % 4 == 0 {
                let state = cache.makeState(capacity: 256)
                try model.prefill(scripts[index].prompt, state: state)
                #expect(areIdentical(Array(model.logits), expected[index][0]))
                states[index] = state
            }
            var members: [Int] = []
            var steps: [SequenceStep] = []
            for index in scripts.indices where done[index] < scripts[index].tokens.count && random.next() % 4 != 0 {
                guard let state = states[index] else { continue }
                members.append(index)
                steps.append(SequenceStep(Array(scripts[index].tokens)[done[index]], state: state))
            }
            model.step(&steps)
            for (index, step) in zip(members, steps) {
                #expect(step.failure == nil)
                done[index] += 1
                #expect(areIdentical(Array(model.logits(of: step)), expected[index][done[index]]))
            }
        }
    }

    /// Others step between the layers of a prompt.
    @Test(arguments: [16, 256])
    func aPrefillCanBeInterrupted(chunk: Int) throws {
        let scripts = try scripts(count: 40)
        let model = try load(.demo, .int4, chunk: chunk)
        let expected = try scripts.prefix(2).map { try $0.alone(model) }
        let prompt = try Golden(.demo).tokens[...]
        let alone = try model.makeState()
        try model.prefill(prompt, state: alone)
        let last = Array(model.logits)

        let states = try scripts.prefix(2).map { script in
            let state = try model.makeState()
            try model.prefill(script.prompt, state: state)
            return state
        }
        let state = try model.makeState()
        var prefill = try model.beginPrefill(prompt, state: state)
        var stepped = 0
        while !prefill.isDone {
            if stepped < 40 {
                var steps = scripts.indices.prefix(2).map {
                    SequenceStep(Array(scripts[$0].tokens)[stepped], state: states[$0])
                }
                model.step(&steps)
                stepped += 1
                for (index, step) in steps.enumerated() {
                    #expect(areIdentical(Array(model.logits(of: step)), expected[index][stepped]))
                }
            }
            try model.advance(&prefill)
        }
        #expect(stepped >= model.configuration.layerCount)
        #expect(areIdentical(Array(model.logits), last))
        #expect(state.tokenCount == prompt.count)
    }

    @Test func whoIsCancelledDropsOutAndTheOthersGoOn() throws {
        let scripts = try scripts()
        let model = try load(.demo, .int4, expertSlots: 8)
        let expected = try scripts.map { try $0.alone(model) }
        for polls in 0..<20 {
            let states = try scripts.map { script in
                let state = try model.makeState()
                try model.prefill(script.prompt, state: state)
                return state
            }
            let leavers = [polls % scripts.count, (polls + 3) % scripts.count]
            var left = leavers.map { _ in polls }
            var steps = scripts.indices.map { SequenceStep(scripts[$0].tokens.first ?? 0, state: states[$0]) }
            model.step(&steps) { index in
                guard let leaver = leavers.firstIndex(of: index) else { return false }
                left[leaver] -= 1
                return left[leaver] < 0
            }
            for (index, step) in steps.enumerated() {
                if leavers.contains(index) {
                    #expect(step.failure?.code == .cancelled)
                    #expect(states[index].tokenCount == scripts[index].prompt.count)
                } else {
                    #expect(areIdentical(Array(model.logits(of: step)), expected[index][1]))
                }
            }
        }
    }

    @Test func whatMakesNoSenseFailsItsOwnSequence() throws {
        let script = try Script(0, count: 1)
        let model = try load(.demo, .int4, context: 64)
        let expected = try script.alone(model)
        let states = try (0..<3).map { _ in
            let state = try model.makeState()
            try model.prefill(script.prompt, state: state)
            return state
        }
        try model.prefill(Array(repeating: 7, count: 64 - states[2].tokenCount)[...], state: states[2])
        var steps = [
            SequenceStep(4096, state: states[0]), SequenceStep(script.tokens.first ?? 0, state: states[1]),
            SequenceStep(1, state: states[2]),
        ]
        model.step(&steps)
        #expect(steps[0].failure?.code == .invalidToken)
        #expect(areIdentical(Array(model.logits(of: steps[1])), expected[1]))
        #expect(steps[2].failure?.code == .contextExceeded)
    }

    /// Every expert of one layer that some sequence alone chose is damaged, one after the other.
    @Test func anUnreadableExpertFailsThoseWhoChoseIt() throws {
        let scripts = try scripts(count: 1)
        let copy = try DamagedModel()
        let reference = try load(.demo, .int4)
        let expected = try scripts.map { try $0.alone(reference) }
        var survived = 0
        var failed = 0
        for key in copy.experts(layer: 2) {
            let model = try load(ContainerReader(path: copy.path), expertSlots: 6)
            let states = try scripts.map { script in
                let state = try model.makeState()
                try model.prefill(script.prompt, state: state)
                return state
            }
            // The least arena has forgotten most of what the prompts used.
            try copy.flip(key)
            let fresh = try load(ContainerReader(path: copy.path), expertSlots: 6)
            var steps = scripts.indices.map { SequenceStep(scripts[$0].tokens.first ?? 0, state: states[$0]) }
            fresh.step(&steps)
            try copy.flip(key)
            for (index, step) in steps.enumerated() {
                if let failure = step.failure {
                    failed += 1
                    #expect(failure.code == .unreadableExpert)
                    #expect(failure.description.contains("\(key)"))
                    #expect(states[index].tokenCount == scripts[index].prompt.count)
                } else {
                    survived += 1
                    #expect(areIdentical(Array(fresh.logits(of: step)), expected[index][1]))
                }
            }
        }
        #expect(failed > 0 && survived > 0)
    }
}

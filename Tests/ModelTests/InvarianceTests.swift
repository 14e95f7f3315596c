import Compute
import ExpertPaging
import Glibc
import Model
import Quantizer
import TestSupport
import Testing

/// Results don't depend on how the work is cut, on threads, on the processor or on what is in memory.
@Suite struct InvarianceTests {
    private func trace(_ model: LoadedModel, isStepwise: Bool = false) throws -> Trace {
        let golden = try Golden(.demo)
        return try Trace(
            Trace.Request(
                tokens: golden.tokens, isStepwise: isStepwise, greedyPromptCount: 48, greedyCount: 64),
            model: model)
    }

    private func expectIdentical(_ first: Trace, _ second: Trace) {
        #expect(areIdentical(first.logits, second.logits))
        #expect(areIdentical(first.hiddenStates, second.hiddenStates))
        #expect(first.greedyTokens == second.greedyTokens)
    }

    @Test(arguments: [1, 7, 32, 100], [CacheFormat.f32, .bf16])
    func chunksDontMatter(_ chunk: Int, _ format: CacheFormat) throws {
        expectIdentical(
            try trace(load(.demo, .int4, cacheFormat: format)),
            try trace(load(.demo, .int4, chunk: chunk, cacheFormat: format)))
    }

    @Test func callsDontMatter() throws {
        let tokens = try Golden(.demo).tokens
        let model = try load(.demo, .int4)
        let state = try model.makeState()
        try model.prefill(tokens[...], state: state)
        let whole = Array(model.logits)
        state.reset()
        try model.prefill(tokens[..<50], state: state)
        try model.prefill(tokens[50...], state: state)
        #expect(areIdentical(whole, Array(model.logits)))
    }

    @Test(arguments: [1, 2, 3], [false, true])
    func threadsDontMatter(_ threads: Int, isStepwise: Bool) throws {
        expectIdentical(
            try trace(load(.demo, .int4, threads: 1), isStepwise: isStepwise),
            try trace(load(.demo, .int4, threads: threads), isStepwise: isStepwise))
    }

    /// From the least that the plan allows (4 experts a token and 2 lanes) to all 128.
    @Test(arguments: [6, 7, 16, 40, 128], [1, 7, 256])
    func arenasDontMatter(_ slots: Int, chunk: Int) throws {
        expectIdentical(
            try trace(load(.demo, .int4)),
            try trace(load(.demo, .int4, chunk: chunk, expertSlots: slots)))
    }

    @Test(arguments: [6, 14, 40, 128])
    func arenasDontMatterToDecoding(_ slots: Int) throws {
        expectIdentical(
            try trace(load(.demo, .int4), isStepwise: true),
            try trace(load(.demo, .int4, expertSlots: slots), isStepwise: true))
    }

    /// In f32 the experts are large enough to be read in two parts; `gate` and `up` are computed while `down` is late.
    @Test(arguments: [6, 14, 40], [false, true])
    func partsThatComeLateDontMatter(_ slots: Int, isStepwise: Bool) throws {
        let late = try load(.demo, .f32, chunk: 7, expertSlots: slots) { _, range in
            if range.lowerBound > 0 { usleep(300) }
        }
        expectIdentical(
            try trace(load(.demo, .f32), isStepwise: isStepwise), try trace(late, isStepwise: isStepwise))
        #expect(late.experts.counters.misses > 0)
    }

    /// The demonstration model is trained, so its routers can be foretold.
    @Test func mostChoicesAreForetold() throws {
        let model = try load(.demo, .int4, expertSlots: 40)
        _ = try trace(model, isStepwise: true)
        let counters = model.experts.counters
        print(
            "foretold: \(counters.recalledUses) of \(counters.predictedUses) choices; read ahead: "
                + "\(counters.aheadReads), used \(counters.aheadUses)")
        #expect(counters.predictedUses > 0 && 2 * counters.recalledUses > counters.predictedUses)
    }

    @Test(arguments: Kernels.available.map(\.name), [false, true])
    func processorsDontMatter(_ name: String, isStepwise: Bool) throws {
        let kernels = try #require(Kernels.named(name))
        for type in [ConversionType.int4, .f32] {
            expectIdentical(
                try trace(load(.demo, type), isStepwise: isStepwise),
                try trace(load(.demo, type, kernels: kernels), isStepwise: isStepwise))
        }
    }

    @Test func prefillAndDecodeAgree() throws {
        let prefilled = try trace(load(.demo))
        let decoded = try trace(load(.demo), isStepwise: true)
        #expect(relativeError(decoded.logits, prefilled.logits) <= 1e-4)
        #expect(decoded.greedyTokens == prefilled.greedyTokens)
    }
}

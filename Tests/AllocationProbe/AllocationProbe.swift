import CAllocations
import Container
import ExpertPaging
import Generation
import Model
import Tokenizer

/// Prints how often the token loop allocates and retains: `NAME ALLOCATIONS RETAINS TOKENS`, a line a part.
///
/// usage: allocation-probe MODEL.moe
@main enum AllocationProbe {
    static func main() async throws {
        let container = try ContainerReader(path: CommandLine.arguments[1])
        var options = MemoryPlan.Options(memory: 1 << 30, context: 1500)
        options.sequences = 2
        let model = try LoadedModel(
            container: container, plan: try MemoryPlan(container: container, options: options), threadCount: 2)
        try readAllExperts(of: model)
        report("nothing", tokens: 1000) { _ in }

        let state = try model.makeState()
        try report("decode", tokens: 1000) { token in
            try model.decode(token % 1000, state: state)
        }

        let cache = try model.makeCache()
        var steps = (0..<2).map { SequenceStep($0, state: cache.makeState(capacity: 600)) }
        report("step", tokens: 500) { token in
            for index in steps.indices { steps[index] = SequenceStep(token, state: steps[index].state) }
            model.step(&steps)
        }

        let vocabularySize = model.configuration.vocabularySize
        for (name, sampling) in [
            ("greedy", SamplingParameters(temperature: 0)),
            ("sample", SamplingParameters(temperature: 0.7, topK: 40, topP: 0.9, repetitionPenalty: 1.1)),
        ] {
            var sampler = Sampler(parameters: sampling, vocabularySize: vocabularySize, prompt: [1, 2, 3])
            try report(name, tokens: 1000) { _ in _ = try sampler.sample(model.logits.span) }
        }
        try await reportEngine(container, model)
    }

    /// So that the threads that read them have nothing to do, and nothing to retain.
    private static func readAllExperts(of model: LoadedModel) throws {
        let all = (0..<(model.configuration.experts?.routedExpertCount ?? 0)).map { Int32($0) }
        var tickets: [ExpertStore.Ticket] = []
        for layer in model.configuration.sparseLayers.indices where model.configuration.sparseLayers[layer] {
            try model.experts.acquire(layer: layer, experts: all.span, into: &tickets)
            for ticket in tickets { _ = try model.experts.wait(ticket) }
            model.experts.release(&tickets)
        }
    }

    /// A whole answer with its text, its reader and its account. Retains aren't counted: short texts are among them.
    private static func reportEngine(_ container: ContainerReader, _ model: LoadedModel) async throws {
        let tokenizer = try Tokenizer(
            tokenizerJSON: container.text.tokenizerJSON ?? [], configJSON: container.text.tokenizerConfigJSON)
        let engine = try Engine(model: model, tokenizer: tokenizer, options: Engine.Options(endTokens: []))
        let request = GenerationRequest(
            promptTokens: [1, 2, 3], sampling: SamplingParameters(seed: 1), maximumTokens: 1000)
        var before: Int64 = 0
        // The first answer doesn't count.
        for _ in 0..<2 {
            before = allocation_count()
            for try await _ in try engine.submit(request) {}
        }
        print("engine", allocation_count() - before, 0, 1000)
    }

    /// After a hundred tokens that don't count.
    static func report(_ name: String, tokens: Int32, _ body: (Int32) throws -> Void) rethrows {
        for token in 0..<100 { try body(Int32(token)) }
        let (allocations, retains) = (allocation_count(), retain_count())
        count_retains(true)
        defer { count_retains(false) }
        for token in 0..<tokens { try body(token) }
        count_retains(false)
        let counts = (allocation_count() - allocations, retain_count() - retains)
        print(name, counts.0, counts.1, tokens)
    }
}

import Container
import DemoSupport
import Generation
import Model
import Tokenizer

/// An engine over the demonstration model, and what a test wants to know of it.
struct DemoEngine {
    let engine: Engine
    let model: LoadedModel
    let tokenizer: Tokenizer
    let container: ContainerReader

    init(
        path: String? = nil, queueLimit: Int = 8, context: Int = 2048, expertSlots: Int? = nil,
        endTokens: Set<Int32>? = nil, sequences: Int? = nil, hasSpareMemory: Bool = true, threads: Int = 1
    ) throws {
        container = try ContainerReader(path: path ?? DemoContainer.path())
        var options = MemoryPlan.Options(
            memory: 1 << 30, context: context, expertSlots: expertSlots, chunk: 64, sequences: sequences)
        if !hasSpareMemory { options.memory = try MemoryPlan(container: container, options: options).leastByteCount }
        let plan = try MemoryPlan(container: container, options: options)
        model = try LoadedModel(container: container, plan: plan, threadCount: threads)
        tokenizer = try Tokenizer(
            tokenizerJSON: container.text.tokenizerJSON ?? [], configJSON: container.text.tokenizerConfigJSON)
        engine = try Engine(
            model: model, tokenizer: tokenizer,
            options: Engine.Options(
                queueLimit: queueLimit,
                endTokens: endTokens ?? Set(container.metadata.configuration.endTokens.map { Int32($0) })))
    }

    func tokens(_ text: String) throws -> [Int32] {
        try tokenizer.encode(text, special: .literal, addBegin: true)
    }

    /// Greedy unless told otherwise.
    func request(
        _ text: String = "Once upon a time", temperature: Double = 0, maximumTokens: Int? = 40, seed: UInt64? = nil,
        stop: [String] = [], alternativeCount: Int? = nil, reasoningEndToken: Int32? = nil
    ) throws -> GenerationRequest {
        GenerationRequest(
            promptTokens: try tokens(text), sampling: SamplingParameters(temperature: temperature, seed: seed),
            maximumTokens: maximumTokens, stop: stop, alternativeCount: alternativeCount,
            reasoningEndToken: reasoningEndToken)
    }

    /// An engine that one request keeps busy for as long as the context lasts: no token ends it.
    static func endless() throws -> DemoEngine { try DemoEngine(queueLimit: 2, endTokens: [], sequences: 1) }

    func endlessRequest() throws -> GenerationRequest { try request(temperature: 1, maximumTokens: nil, seed: 1) }

    /// A prompt that takes a while.
    func longPrompt(_ count: Int = 1900, _ start: String = "") throws -> GenerationRequest {
        let sentence = try tokens("\(start)The old man walked slowly along the river and thought of his house. ")
        let tokens = (0..<count).map { sentence[$0 % sentence.count] }
        return GenerationRequest(promptTokens: tokens, sampling: SamplingParameters(temperature: 0), maximumTokens: 1)
    }

    /// Waits until the engine does what is asked, for at most some seconds.
    func wait(until condition: (EngineStatus) -> Bool) async throws {
        for _ in 0..<10_000 {
            if condition(engine.status()) { return }
            try await Task.sleep(for: .milliseconds(1))
        }
        throw TimedOut()
    }

    struct TimedOut: Error {}
}

/// Everything that a stream gave.
struct Collected {
    var text = ""
    var tokenCount = 0
    var logProbabilities: [TokenLogProbability] = []
    var positions: [Int] = []
    var progress: [Int] = []
    var eventCount = 0
    var completion: Completion?

    init(_ stream: GenerationStream) async throws(GenerationError) {
        for try await event in stream {
            eventCount += 1
            switch event {
            case .queued(let position): positions.append(position)
            case .prefill(let processed, _): progress.append(processed)
            case .text(let delta):
                text += delta.text
                tokenCount += delta.tokenCount
                logProbabilities += delta.logProbabilities
            case .finished(let completion): self.completion = completion
            }
        }
    }
}

/// The error that a stream ends with; nil if it ends well.
func failure(of stream: GenerationStream) async -> GenerationError? {
    do {
        _ = try await Collected(stream)
        return nil
    } catch {
        return error
    }
}

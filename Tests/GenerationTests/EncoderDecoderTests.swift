import Container
import DemoSupport
import EncoderDecoder
import Generation
import Model
import Testing
import Tokenizer

@Suite(.serialized) struct EncoderDecoderTests {
    private let container: SwitchContainer

    init() throws { container = try SwitchContainer() }

    private func engine(context: Int, hasSpareMemory: Bool) throws -> Engine {
        let reader = try ContainerReader(path: container.path)
        var options = MemoryPlan.Options(memory: 1 << 30, context: context, chunk: 64, sequences: 3)
        if !hasSpareMemory { options.memory = try MemoryPlan(container: reader, options: options).leastByteCount }
        let model = try LoadedModel(
            container: reader, plan: MemoryPlan(container: reader, options: options), threadCount: 1)
        return try Engine(
            model: EncoderDecoderModel(model),
            tokenizer: Tokenizer(tokenizerJSON: reader.text.tokenizerJSON ?? [], configJSON: nil),
            options: Engine.Options(endTokens: [1]))
    }

    /// What is put aside for lack of memory is read and written again, to the same text and the same count of tokens that
    /// experts had no room for.
    @Test func answersThatHaveToTakeTurnsAreTheSame() async throws {
        let requests = (0..<3).map { number in
            let tokens: [Int32] = (0..<49).map { place in Int32(2 + (place * 7 + number * 13) % 240) }
            return GenerationRequest(
                promptTokens: tokens + [1], sampling: SamplingParameters(temperature: 2, seed: UInt64(number)),
                maximumTokens: 130)
        }
        let roomy = try engine(context: 256, hasSpareMemory: true)
        var expected: [Collected] = []
        for request in requests { expected.append(try await Collected(roomy.submit(request))) }
        #expect(expected.allSatisfy { ($0.completion?.usage.droppedTokens ?? 0) > 0 })

        let tight = try engine(context: 256, hasSpareMemory: false)
        let streams = try requests.map { try tight.submit($0) }
        for (stream, expected) in zip(streams, expected) {
            let found = try await Collected(stream)
            #expect(found.text == expected.text)
            #expect(found.completion?.usage == expected.completion?.usage)
        }
    }
}

import Container
import Model
import TestSupport
import Testing

@Suite struct GoldenTests {
    /// How the tokens go through the model.
    enum Way: Sendable, CaseIterable, CustomTestStringConvertible {
        case whole
        case chunksOf32
        case chunksOf7
        case chunksOf1
        case decode

        var chunk: Int {
            switch self {
            case .whole, .decode: 256
            case .chunksOf32: 32
            case .chunksOf7: 7
            case .chunksOf1: 1
            }
        }

        var testDescription: String { "\(self)" }
    }

    @Test(arguments: ReferenceModel.allCases, Way.allCases)
    func reproducesTheReference(_ reference: ReferenceModel, _ way: Way) throws {
        let golden = try Golden(reference)
        let model = try load(reference, chunk: way.chunk)
        let trace = try Trace(
            Trace.Request(
                tokens: golden.tokens, isStepwise: way == .decode, greedyPromptCount: reference.greedyPromptCount,
                greedyCount: golden.greedyTokens.count),
            model: model)

        #expect(relativeError(trace.logits, golden.logits) <= 1e-4)
        let layerSize = golden.tokens.count * model.configuration.hiddenSize
        for layer in 0...model.configuration.layerCount {
            let range = layer * layerSize..<(layer + 1) * layerSize
            #expect(
                relativeError(trace.hiddenStates[range], golden.hiddenStates[range]) <= 1e-4,
                "after \(layer) layers")
        }
        #expect(trace.greedyTokens == golden.greedyTokens)
    }

    @Test func aBF16CacheStaysClose() throws {
        let golden = try Golden(.demo)
        for isStepwise in [false, true] {
            let trace = try Trace(
                Trace.Request(tokens: golden.tokens, isStepwise: isStepwise),
                model: try load(.demo, cacheFormat: .bf16))
            let error = relativeError(trace.logits, golden.logits)
            #expect(error <= 2e-2)
            #expect(error > 1e-5, "the cache isn't in bf16")
        }
    }
}

import Container
import Model
import Quantizer
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

    /// How often the quantised model's likeliest token is the reference's. With random weights none of 256 tokens is likely,
    /// and routers turn easily: 4 bits keep a fifth to three quarters of them, where chance keeps one of 256.
    @Test(arguments: ReferenceModel.allCases, [ConversionType.int4, .int8])
    func convertsToIntegers(_ reference: ReferenceModel, _ type: ConversionType) throws {
        let golden = try Golden(reference)
        let model = try load(reference, type)
        let trace = try Trace(Trace.Request(tokens: golden.tokens), model: model)
        let size = model.configuration.vocabularySize
        func likeliest(_ logits: [Float], _ position: Int) -> Int? {
            let row = logits[position * size..<(position + 1) * size]
            return row.indices.max { row[$0] < row[$1] }
        }
        let agreeing = golden.tokens.indices.count {
            likeliest(trace.logits, $0) == likeliest(golden.logits, $0)
        }
        let agreement = Double(agreeing) / Double(golden.tokens.count)
        print("\(reference) at \(type.rawValue): top-1 agreement \(agreement)")
        #expect(agreement >= (type == .int4 ? 0.15 : 0.75))
    }

    /// Windows of 16 positions that begin anywhere in chunks, blocks and spans.
    @Test(arguments: [1, 7, 32, 100])
    func windowsDontDependOnChunks(_ chunk: Int) throws {
        let tokens = (0..<500).map { Int32($0 * 37 % 256) }
        func logits(_ chunk: Int) throws -> [Float] {
            let model = try load(.gptOSS, context: 512, chunk: chunk)
            let state = try model.makeState()
            try model.prefill(tokens[...], state: state)
            return Array(model.logits)
        }
        #expect(try areIdentical(logits(chunk), logits(256)))
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

import Compute
import Container
import EncoderDecoder
import Model
import Quantizer
import TestSupport
import Testing

@Suite("An encoder-decoder computes what the reference does")
struct GoldenTests {
    @Test(arguments: [1, 7, 32, 256])
    func reproducesTheReference(chunk: Int) throws {
        let golden = try SwitchModel.Golden()
        let trace = try EncoderDecoderTrace(golden.request, model: SwitchModel.load(chunk: chunk))
        #expect(relativeError(trace.encoderStates, golden.encoderStates) <= 1e-5)
        #expect(relativeError(trace.logits, golden.logits) <= 1e-5)
        #expect(trace.greedyTokens == golden.greedyTokens)
        // Of the encoder's 40 tokens and the decoder's 24, each in two sparse layers.
        #expect(trace.droppedCount == 36)
    }

    /// Every instruction set, thread count, memory budget and chunk gives the same bits.
    @Test func nothingButTheTokensMatters() throws {
        let golden = try SwitchModel.Golden()
        let reference = try EncoderDecoderTrace(golden.request, model: SwitchModel.load(.int8))
        var others = try [
            SwitchModel.load(.int8, chunk: 5), SwitchModel.load(.int8, threads: 1),
            SwitchModel.load(.int8, expertSlots: 3),
        ]
        others += try Kernels.available.map { try SwitchModel.load(.int8, chunk: 9, kernels: $0) }
        for model in others {
            let trace = try EncoderDecoderTrace(golden.request, model: model)
            #expect(trace.encoderStates.map(\.bitPattern) == reference.encoderStates.map(\.bitPattern))
            #expect(trace.logits.map(\.bitPattern) == reference.logits.map(\.bitPattern))
        }
    }

    @Test(arguments: [(ConversionType.int8, 0.05), (.int4, 0.3)])
    func quantisedModelsStayClose(_ type: ConversionType, _ limit: Double) throws {
        let golden = try SwitchModel.Golden()
        let trace = try EncoderDecoderTrace(golden.request, model: SwitchModel.load(type))
        let error = relativeError(trace.logits, golden.logits)
        #expect(error <= limit)
        #expect(error > 1e-5, "the weights aren't \(type)")
    }

    @Test func aBF16CacheStaysClose() throws {
        let golden = try SwitchModel.Golden()
        let trace = try EncoderDecoderTrace(golden.request, model: SwitchModel.load(cacheFormat: .bf16))
        let error = relativeError(trace.logits, golden.logits)
        #expect(error <= 2e-2)
        #expect(error > 1e-5, "the cache isn't in bf16")
    }

    @Test func bothPlanesAreCloserThanOne() throws {
        let golden = try SwitchModel.Golden()
        let errors = try [PlaneChoice.both, .coarse].map {
            let trace = try EncoderDecoderTrace(golden.request, model: SwitchModel.load(.nested, planes: $0))
            return relativeError(trace.logits, golden.logits)
        }
        #expect(errors[0] < errors[1])
    }
}

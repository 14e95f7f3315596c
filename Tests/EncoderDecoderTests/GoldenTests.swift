import Checkpoint
import Compute
import Container
import EncoderDecoder
import FoundationEssentials
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

    /// Rows in another order for the encoder, and tokens to match: the same model. Its head isn't scaled, by an eighth.
    @Test func anEncoderMayHaveItsOwnEmbedding() throws {
        let golden = try SwitchModel.Golden()
        let tied = try EncoderDecoderTrace(golden.request, model: SwitchModel.load())
        let model = try SwitchModel.load(Self.reversedContainer())
        var request = golden.request
        request.inputTokens = request.inputTokens.map { 255 - $0 }
        let trace = try EncoderDecoderTrace(request, model: model)
        #expect(trace.encoderStates.map(\.bitPattern) == tied.encoderStates.map(\.bitPattern))
        #expect(trace.logits.map(\.bitPattern) == tied.logits.map { ($0 * 8).bitPattern })
    }

    /// The checkpoint without ties: the encoder's embedding has its rows from the last to the first.
    private static func reversedContainer() throws -> ContainerReader {
        let directory = try TemporaryDirectory()
        let text = String(
            decoding: try Data(contentsOf: URL(filePath: "\(SwitchModel.directory)/config.json")), as: UTF8.self)
        let untied = text.replacing(#""tie_word_embeddings": true"#, with: #""tie_word_embeddings": false"#)
        try Data(untied.utf8).write(to: URL(filePath: "\(directory.path)/config.json"))
        let file = try SafetensorsFile(path: "\(SwitchModel.directory)/model.safetensors")
        var writer = SafetensorsWriter()
        for tensor in file.header.tensors {
            let bytes = try file.file.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
            writer.add(tensor.name, tensor.element, shape: tensor.shape, bytes: bytes)
            guard tensor.name == "shared.weight" else { continue }
            writer.add("lm_head.weight", tensor.element, shape: tensor.shape, bytes: bytes)
            let row = tensor.byteCount / tensor.shape[0]
            let reversed = (0..<tensor.shape[0]).reversed().flatMap { bytes[$0 * row..<($0 + 1) * row] }
            writer.add("encoder.embed_tokens.weight", tensor.element, shape: tensor.shape, bytes: reversed)
        }
        try writer.write(to: "\(directory.path)/model.safetensors")
        let source = try Checkpoint(directory: directory.path)
        let path = "\(directory.path)/switch.moe"
        let conversion = Conversion(
            source, plan: FormatPlan(source.configuration, type: .f32, isPure: false), packing: .never, threadCount: 1,
            progress: ConversionProgress(totalByteCount: Conversion.sourceByteCount(of: source), hashByteCount: 0))
        _ = try conversion.run(into: ContainerWriter(path: path, replacing: false), tool: "tests")
        return try ContainerReader(path: path)
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

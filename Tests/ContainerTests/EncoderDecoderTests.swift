import Compute
import Container
import ContainerFixtures
import TestSupport
import Testing

/// Containers of encoder-decoders.
@Suite struct EncoderDecoderTests {
    @Test(arguments: [false, true])
    func everythingReadsBack(isNested: Bool) throws {
        var model = SmallModel.encoderDecoder
        if isNested {
            model.format = .q4
            model.table = .nonLinear
            model.isRefined = { _ in true }
        }
        let directory = try TemporaryDirectory()
        try model.write(to: "\(directory.path)/model.moe")
        let reader = try ContainerReader(path: "\(directory.path)/model.moe")
        #expect(reader.metadata == model.metadata)
        #expect(reader.tensors.count == model.tensors.count && reader.tensors.count == model.configuration.tensorCount)
        for layer in 0..<4 {
            #expect((reader.tensors[TensorKey(.crossKey, layer: layer)] != nil) == (layer >= 2))
            #expect(reader.tensors[TensorKey(.denseGate, layer: layer)] == nil)
        }
        for tensor in model.tensors {
            let record = try #require(reader.tensors[tensor.key])
            #expect(record.shape == model.shape(tensor))
            #expect(try reader.bytes(record) == model.bytes(tensor))
        }
        #expect(reader.experts.count == 6)
        for expert in model.experts {
            let record = try #require(reader.experts[expert])
            // Up and down.
            #expect(record.byteCount == model.layout.gateShape.byteCount + model.layout.downShape.byteCount)
            #expect(try reader.bytes(record) == model.bytes(expert))
            let refinement = reader.refinements[expert]
            #expect((refinement != nil) == isNested)
            guard isNested else { continue }
            #expect(refinement?.layout == model.refinement)
            let source = try #require(reader.source(of: expert, planes: .both))
            #expect(try reader.bytes(source).count == source.byteCount && source.byteCount > record.byteCount)
        }
        let problems = reader.problems(on: ThreadPool(threadCount: 1))
        #expect(problems.allSatisfy { $0.reason.contains("finite") })
    }

    @Test func positionBiasesStayAsTheyAre() throws {
        let biases = SmallModel.encoderDecoder.tensors.filter { "\($0.key)".hasSuffix("position_bias") }
        #expect(biases.count == 2 && biases.allSatisfy { $0.mustBeF32 && $0.isRowMajor && $0.rows == 8 })
    }

    @Test(arguments: [
        (#""layerCount":2"#, #""layerCount":0"#), (#""layerCount":2"#, #""layerCount":4"#),
        (#""layerCount":2"#, #""layerCount":4611686018427387904"#), (#""startToken":0"#, #""startToken":24"#),
        (#""startToken":0"#, #""startToken":-1"#), (#""outputScale":0.25"#, #""outputScale":0"#),
        (#""bucketCount":8"#, #""bucketCount":3"#), (#""bucketCount":8"#, #""bucketCount":4096"#),
        (#""greatestDistance":20"#, #""greatestDistance":7"#),
        (#""greatestDistance":20"#, #""greatestDistance":9223372036854775807"#),
        (#""capacity":5"#, #""capacity":0"#), (#""activation":"relu""#, #""activation":"silu""#),
        (#""encoder":{"layerCount":2,"outputScale":0.25,"startToken":0},"#, ""),
        (#""normEpsilon""#, #""rotary":{"pairing":"halves","theta":10000},"normEpsilon""#),
    ])
    func aSenselessConfigurationIsRefused(find: String, replacement: String) throws {
        var image = try ContainerImage(.encoderDecoder)
        var json = image.metadata
        json.replaceSubrange(try #require(json.firstRange(of: find)), with: replacement)
        image.replaceMetadata(with: Array(json.utf8))
        image.seal()
        let file = try ScratchFile()
        try file.replace(with: image.bytes)
        #expect(throws: ContainerError.self) { try ContainerReader(path: file.path) }
    }

    /// A decoder's attention has no use for an encoder.
    @Test func anEncoderBeforeAnotherAttentionIsRefused() {
        var model = SmallModel()
        model.configuration.encoder = .init(layerCount: 1, startToken: 0, outputScale: 1)
        #expect(model.configuration.problem?.field == "encoder")
        model = SmallModel()
        model.configuration.rotary = nil
        #expect(model.configuration.problem?.field == "rotary")
    }
}

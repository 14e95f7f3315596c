import Compute
import Container
import ContainerFixtures
import TestSupport
import Testing

/// Containers of models whose heads share keys and values.
@Suite struct GroupedAttentionTests {
    private static func model(
        hasBias: Bool = true, headNorm: ModelConfiguration.GroupedAttention.HeadNorm = .perHead
    ) -> SmallModel {
        var model = SmallModel()
        model.configuration.attention = .grouped(
            .init(
                headCount: 4, keyValueHeadCount: 2, headSize: 16, ropeHeadSize: 8, hasBias: hasBias,
                headNorm: headNorm, softmaxScale: 0.25))
        model.configuration.rotary?.pairing = .halves
        model.configuration.rotary?.yarn = nil
        model.configuration.rotary?.divisors = [1, 1.5, 8, 8]
        return model
    }

    @Test(
        arguments: [false, true],
        [ModelConfiguration.GroupedAttention.HeadNorm.none, .perHead, .whole])
    func everyRoleReadsBack(hasBias: Bool, headNorm: ModelConfiguration.GroupedAttention.HeadNorm) throws {
        let model = Self.model(hasBias: hasBias, headNorm: headNorm)
        let directory = try TemporaryDirectory()
        try model.write(to: "\(directory.path)/model.moe")
        let reader = try ContainerReader(path: "\(directory.path)/model.moe")
        #expect(reader.metadata == model.metadata)
        #expect(reader.tensors.count == model.tensors.count)
        #expect((reader.tensors[TensorKey(.keyBias, layer: 0)] != nil) == hasBias)
        #expect((reader.tensors[TensorKey(.queryNorm, layer: 1)] != nil) == (headNorm != .none))
        for tensor in model.tensors {
            let record = try #require(reader.tensors[tensor.key])
            #expect(record.shape == model.shape(tensor))
            #expect(try reader.bytes(record) == model.bytes(tensor))
        }
    }

    @Test(arguments: [
        (#""headCount":4"#, #""headCount":0"#), (#""headCount":4"#, #""headCount":6"#),
        (#""headCount":4"#, #""headCount":4611686018427387904"#),
        (#""keyValueHeadCount":2"#, #""keyValueHeadCount":0"#), (#""keyValueHeadCount":2"#, #""keyValueHeadCount":3"#),
        (#""keyValueHeadCount":2"#, #""keyValueHeadCount":8"#), (#""keyValueHeadCount":2"#, #""keyValueHeadCount":4"#),
        (#""headSize":16"#, #""headSize":1"#), (#""headSize":16"#, #""headSize":9223372036854775807"#),
        (#""headSize":16"#, #""headSize":32"#), (#""ropeHeadSize":8"#, #""ropeHeadSize":0"#),
        (#""ropeHeadSize":8"#, #""ropeHeadSize":7"#), (#""ropeHeadSize":8"#, #""ropeHeadSize":18"#),
        (#""hasBias":true"#, #""hasBias":false"#), (#""headNorm":"perHead""#, #""headNorm":"none""#),
        (#""headNorm":"perHead""#, #""headNorm":"whole""#), (#""headNorm":"perHead""#, #""headNorm":"each""#),
        (#""softmaxScale":0.25"#, #""softmaxScale":-1"#), (#""grouped":"#, #""latent":"#),
        (#"[1,1.5,8,8]"#, #"[1,1.5,8]"#), (#"[1,1.5,8,8]"#, #"[1,1.5,8,0]"#), (#"[1,1.5,8,8]"#, #"[1,1.5,8,-1]"#),
        (
            #"[1,1.5,8,8]"#,
            #"[1,1.5,8,8],"yarn":{"betaFast":32,"betaSlow":1,"factor":2,"magnitude":1,"originalContextLength":64}"#
        ),
    ])
    func aSenselessConfigurationIsRefused(find: String, replacement: String) throws {
        var image = try ContainerImage(Self.model())
        var json = image.metadata
        json.replaceSubrange(try #require(json.firstRange(of: find)), with: replacement)
        image.replaceMetadata(with: Array(json.utf8))
        image.seal()
        let file = try ScratchFile()
        try file.replace(with: image.bytes)
        #expect(throws: ContainerError.self) { try ContainerReader(path: file.path) }
    }
}

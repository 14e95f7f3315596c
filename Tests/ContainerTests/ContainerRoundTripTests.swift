import Compute
import Container
import ContainerFixtures
import FoundationEssentials
import TestSupport
import Testing

@Suite struct ContainerRoundTripTests {
    let directory: TemporaryDirectory
    let path: String

    init() throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/model.moe"
    }

    @Test(arguments: [BlockFormat.f32, .bf16, .f16, .q8, .q4], Packing.allCases)
    func everythingReadsBack(format: BlockFormat, packing: Packing) throws {
        var model = SmallModel()
        model.format = format
        model.packing = packing
        try model.write(to: path)

        let reader = try ContainerReader(path: path)
        #expect(reader.metadata == model.metadata)
        #expect(reader.text == model.text)
        #expect(reader.tensors.count == model.tensors.count)
        #expect(reader.experts.count == model.experts.count)
        for tensor in model.tensors {
            let record = try #require(reader.tensors[tensor.key])
            #expect(record.shape == model.shape(tensor))
            #expect(record.offset % 64 == 0)
            #expect(try reader.bytes(record) == model.bytes(tensor))
        }
        for expert in model.experts {
            let record = try #require(reader.experts[expert])
            #expect(record.layout == model.layout)
            #expect(record.offset % 16384 == 0)
            #expect(try reader.bytes(record) == model.bytes(expert))
            #expect(try reader.bytes(record, verify: false) == model.bytes(expert))
            switch packing {
            case .auto: #expect((record.codec == .lz4) == model.isSparse(expert))
            case .always: #expect(record.codec == .lz4)
            case .never: #expect(record.codec == .stored)
            }
        }
    }

    @Test func aModelWithoutTextsReadsBack() throws {
        var model = SmallModel()
        model.text = TextAssets()
        try model.write(to: path)
        #expect(try ContainerReader(path: path).text == TextAssets())
    }

    @Test func aDenseModelReadsBack() throws {
        var model = SmallModel()
        model.configuration.sparseLayers = [false, false]
        model.configuration.experts = nil
        try model.write(to: path)
        let reader = try ContainerReader(path: path)
        #expect(reader.experts.isEmpty)
        #expect(reader.metadata == model.metadata)
    }

    @Test func theSameContentsAreTheSameBytes() throws {
        let model = SmallModel()
        try model.write(to: path)
        try model.write(to: path + "2")
        let first = try Data(contentsOf: URL(filePath: path))
        #expect(try first == Data(contentsOf: URL(filePath: path + "2")))
        #expect(try ContainerReader(path: path).indexChecksum == ContainerReader(path: path + "2").indexChecksum)
    }
}

import Compute
import Container
import ContainerFixtures
import TestSupport
import Testing

@Suite struct ScaleFormatTests {
    @Test(arguments: [BlockFormat.q8, .q4], ScaleFormat.allCases)
    func everyRecordKeepsTheFormatOfItsScales(format: BlockFormat, scaleFormat: ScaleFormat) throws {
        var model = SmallModel()
        model.format = format
        model.scaleFormat = scaleFormat
        let file = try ScratchFile()
        try model.write(to: file.path, replacing: true)
        let reader = try ContainerReader(path: file.path)
        for tensor in model.tensors {
            let record = try #require(reader.tensors[tensor.key])
            #expect(record.shape == model.shape(tensor))
            #expect(record.shape.scaleFormat == (tensor.mustBeF32 ? .f16 : scaleFormat))
            #expect(try reader.bytes(record) == model.bytes(tensor))
        }
        for expert in model.experts {
            let record = try #require(reader.experts[expert])
            #expect(record.layout == model.layout && record.layout.gateShape.scaleFormat == scaleFormat)
            #expect(record.layout.downShape.scaleFormat == scaleFormat)
        }
    }

    @Test func gateAndDownMayDiffer() throws {
        let model = SmallModel()
        var layout = model.layout
        layout.downScaleFormat = .bf16
        let file = try ScratchFile()
        let writer = try ContainerWriter(path: file.path, replacing: true)
        for tensor in model.tensors {
            try model.bytes(tensor).withUnsafeBytes {
                try writer.append(tensor: tensor.key, shape: model.shape(tensor), bytes: $0)
            }
        }
        for expert in model.experts {
            try model.bytes(expert).withUnsafeBytes {
                try writer.append(expert: expert, layout: layout, bytes: $0, packing: .never)
            }
        }
        try writer.finish(metadata: model.metadata, text: model.text)
        let reader = try ContainerReader(path: file.path)
        #expect(reader.experts.values.allSatisfy { $0.layout == layout })
        #expect(layout.gateShape.scaleFormat == .f16 && layout.downShape.scaleFormat == .bf16)
    }
}

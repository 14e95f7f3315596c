import Checkpoint
import Container
import Model
import Quantizer
import TestSupport
import Testing

/// Layers for multi-token prediction are in the file, and nobody computes with them.
@Suite struct PredictionTests {
    @Test(arguments: [ConversionType.int4, .nested])
    func predictionLayersAreKeptAndNotUsed(_ type: ConversionType) throws {
        let directory = try TemporaryDirectory()
        func container(_ name: String, takesPrediction: Bool) throws -> ContainerReader {
            let path = "\(directory.path)/\(name).moe"
            let checkpoint = try Checkpoint(directory: Fixtures.demo, takesPrediction: takesPrediction)
            let conversion = Conversion(
                checkpoint, plan: FormatPlan(checkpoint.configuration, type: type, isPure: true), packing: .never,
                threadCount: 2, progress: ConversionProgress(totalByteCount: 1, hashByteCount: 1))
            _ = try conversion.run(into: ContainerWriter(path: path, replacing: false), tool: "tests")
            return try ContainerReader(path: path)
        }
        let with = try container("with", takesPrediction: true)
        let without = try container("without", takesPrediction: false)
        #expect(with.prediction.experts.count == 32 && with.prediction.tensors.count == 18)
        #expect(with.prediction.refinements.count == (type == .nested ? 32 : 0))
        #expect(with.prediction.experts.keys.allSatisfy { $0.layer == 5 })
        #expect(without.prediction.experts.isEmpty && !without.hasPrediction)
        #expect(with.tensors.mapValues(\.checksum) == without.tensors.mapValues(\.checksum))
        #expect(with.experts.mapValues(\.checksum) == without.experts.mapValues(\.checksum))
        #expect(with.fileByteCount > without.fileByteCount + UInt64(with.prediction.storedByteCount) - 65536)

        // Neither memory nor results tell that they are there.
        let options = MemoryPlan.Options(memory: 1 << 30, context: 256)
        let plans = try [with, without].map { try MemoryPlan(container: $0, options: options) }
        #expect(plans[0].lines == plans[1].lines)
        let golden = try Golden(.demo)
        let traces = try [with, without].map {
            try Trace(Trace.Request(tokens: golden.tokens), model: load($0, planes: type == .nested ? .coarse : nil))
        }
        #expect(areIdentical(traces[0].logits, traces[1].logits))
    }
}

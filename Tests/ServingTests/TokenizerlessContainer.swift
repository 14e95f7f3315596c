import Checkpoint
import Container
import Quantizer
import TestSupport

/// A good container of a checkpoint that came without a tokenizer.
enum TokenizerlessContainer {
    static func write(in directory: String) throws -> String {
        let path = "\(directory)/mute.moe"
        let checkpoint = try Checkpoint(directory: Fixtures.checkpoint("deepseek-v3"))
        let conversion = Conversion(
            checkpoint, plan: FormatPlan(checkpoint.configuration, type: .int4, isPure: false), packing: .never,
            threadCount: 2,
            progress: ConversionProgress(totalByteCount: Conversion.sourceByteCount(of: checkpoint), hashByteCount: 0))
        _ = try conversion.run(into: ContainerWriter(path: path, replacing: false), tool: "tests")
        return path
    }
}

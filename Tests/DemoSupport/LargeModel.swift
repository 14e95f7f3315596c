import Checkpoint
import Container
import Quantizer
import TestSupport

/// The demonstration model's shape with experts that are so large that memory matters, and random weights. It speaks the
/// demonstration model's tokens.
package final class LargeModel: Sendable {
    package let path: String
    private let directory: TemporaryDirectory

    /// 128 experts of 1.8 MB in int4 at 4096.
    package init(intermediateSize: Int = 4096) throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/large.moe"
        let demo = try ContainerReader(path: DemoContainer.path())
        var configuration = demo.metadata.configuration
        configuration.experts?.intermediateSize = intermediateSize
        configuration.endTokens = []
        configuration.predictionLayers = nil
        let plan = FormatPlan(configuration, type: .int4, isPure: true)
        let synthesis = Synthesis(
            plan: plan, seed: 5, text: demo.text, threadCount: 2,
            progress: ConversionProgress(totalByteCount: Synthesis.byteCount(of: plan), hashByteCount: 0))
        try synthesis.run(into: ContainerWriter(path: path, replacing: false), tool: "tests")
    }
}

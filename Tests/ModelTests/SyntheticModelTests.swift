import Checkpoint
import Compute
import Container
import Model
import Quantizer
import TestSupport
import Testing

/// What `synthesize` makes goes through the whole forward pass with finite numbers.
@Suite struct SyntheticModelTests {
    @Test(
        arguments: ["deepseek-v2", "deepseek-v2-lite", "deepseek-v3", "moonlight"],
        [ConversionType.int4, .int8, .nested, .bf16, .f32])
    func logitsAreFiniteAndOfOrdinarySize(shape: String, type: ConversionType) throws {
        let file = try InputFile(path: "\(Fixtures.checkpoint(shape))/config.json")
        var configuration = try Checkpoint.configuration(json: try file.allBytes(atMost: 1 << 20))
        // Deep enough for growth from layer to layer to show.
        configuration.layerCount = 24
        configuration.sparseLayers = (0..<24).map { $0 > 0 }
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/random.moe"
        let plan = FormatPlan(configuration, type: type, isPure: true)
        let synthesis = Synthesis(
            plan: plan, seed: 5, threadCount: 2, progress: ConversionProgress(totalByteCount: 1, hashByteCount: 0))
        try synthesis.run(into: ContainerWriter(path: path, replacing: false), tool: "tests")

        let model = try load(try ContainerReader(path: path))
        let trace = try Trace(Trace.Request(tokens: (0..<40).map { Int32($0 * 5) }, isStepwise: false), model: model)
        #expect(trace.logits.allSatisfy(\.isFinite) && trace.hiddenStates.allSatisfy(\.isFinite))
        let square = trace.logits.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(trace.logits.count)
        #expect((0.25..<4).contains(square.squareRoot()))
        #expect(Set(trace.logits.map(\.bitPattern)).count > trace.logits.count / 2, "the logits are all alike")
    }
}

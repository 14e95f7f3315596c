import Checkpoint
import Container
import GGUFSupport
import Model
import Quantizer
import TestSupport
import Testing

/// Models in GGUF reproduce what the reference computes from the checkpoints that they were made from.
@Suite struct GGUFGoldenTests {
    /// Latent attention whose keys and values were apart; rows of queries and keys in another order, with experts in
    /// stacks; partial rotation, other names and biases.
    @Test(arguments: [ReferenceModel.deepseekV2Lite, .mixtral, .glm4MoE])
    func reproducesTheReference(_ reference: ReferenceModel) throws {
        let directory = try TemporaryDirectory()
        var path = "\(directory.path)/model.gguf"
        if reference == .deepseekV2Lite {
            // As the public converter wrote it.
            path = Fixtures.gguf("deepseek-v2-lite-bf16")
        } else {
            try GGUFFixture(reference.rawValue, .f32).image.write(to: path)
        }
        let checkpoint = try Checkpoint(path: path)
        let conversion = Conversion(
            checkpoint, plan: FormatPlan(checkpoint.configuration, type: .f32, isPure: false), packing: .never,
            threadCount: 2, progress: ConversionProgress(totalByteCount: 1, hashByteCount: 1))
        let output = "\(directory.path)/model.moe"
        _ = try conversion.run(into: ContainerWriter(path: output, replacing: false), tool: "tests")

        let golden = try Golden(reference)
        let model = try load(try ContainerReader(path: output))
        let trace = try Trace(
            Trace.Request(
                tokens: golden.tokens, isStepwise: false, greedyPromptCount: reference.greedyPromptCount,
                greedyCount: golden.greedyTokens.count),
            model: model)
        #expect(relativeError(trace.logits, golden.logits) <= 1e-4)
        #expect(trace.greedyTokens == golden.greedyTokens)
    }
}

import Evaluation
import FoundationEssentials
import Model
import Testing

/// Three ways to read a text.
@Suite struct StepwiseTests {
    private func divergence(_ type: String, _ reading: Evaluation.Reading) throws -> Evaluation.Comparison {
        let bytes = try Data(contentsOf: URL(filePath: DemoModel.text)).prefix(9000)
        let text = try EvaluationText(
            name: "samples.txt", bytes: Array(bytes), container: DemoModel.container(type), contextLength: 512)
        let model = try DemoModel.load(type, context: 512, cacheFormat: .f32)
        let result = try Evaluation(
            model, text: text, reference: model, reading: reading,
            progress: TextProgress(totalTokenCount: Evaluation.tokenCount(of: text, hasReference: true)))
        return try #require(result.comparison)
    }

    @Test(arguments: ["f32", "bf16", "int8", "int4"])
    func stepsAreBatchesToTheLastBit(_ type: String) throws {
        let comparison = try divergence(type, .steps)
        #expect(comparison.greatestDivergence == 0)
        #expect(comparison.perplexityRatio.value == 1)
        #expect(comparison.topAgreement.value == 1)
    }

    /// Prompts take another way through the attention, which must come to the same.
    @Test func promptsInFloatsAgree() throws {
        let comparison = try divergence("f32", .prefill)
        #expect(comparison.greatestDivergence > 0)
        #expect(comparison.meanDivergence.value <= 1e-6)
        #expect(comparison.topAgreement.value > 0.999)
    }

    /// Rounding the activations to int8 turns a difference in the last bit into one of a whole code now and then, and
    /// here and there another expert is chosen: the mean is that of few tokens.
    @Test(arguments: ["int8", "int4"])
    func quantisedPromptsAgreeForMostTokens(_ type: String) throws {
        let comparison = try divergence(type, .prefill)
        #expect(comparison.greatestDivergence > 0)
        #expect(comparison.medianDivergence <= 3e-4)
        #expect(comparison.meanDivergence.value <= 3e-3)
        #expect(comparison.topAgreement.value > 0.97)
    }
}

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

    /// The less memory, the more is substituted, and what isn't read is paid for in divergence.
    @Test func helpCostsDivergenceAndSavesReads() throws {
        let bytes = try Data(contentsOf: URL(filePath: DemoModel.text)).prefix(6000)
        let text = try EvaluationText(
            name: "samples.txt", bytes: Array(bytes), container: DemoModel.container("int4"), contextLength: 256)
        func evaluate(_ lossy: LossyRouting, slots: Int = 32) throws -> (Evaluation.Comparison, Evaluation.Paging) {
            let model = try DemoModel.load("int4", context: 256, expertSlots: slots, cacheFormat: .f32)
            let reference = try DemoModel.load("int4", context: 256, cacheFormat: .f32)
            let result = try Evaluation(
                model, text: text, reference: reference, reading: .steps, lossy: lossy,
                progress: TextProgress(totalTokenCount: Evaluation.tokenCount(of: text, hasReference: true)))
            return (try #require(result.comparison), try #require(result.paging))
        }
        let (same, plain) = try evaluate(.off)
        #expect(same.greatestDivergence == 0)
        #expect(plain.substitutedCount == 0 && plain.droppedCount == 0)
        #expect(plain.slotCount == 32 && plain.expertCount == 128)
        #expect(plain.choiceCount == text.tokenCount * 16)

        let (weak, weakly) = try evaluate(LossyRouting(preferResident: 0.02))
        let (strong, strongly) = try evaluate(LossyRouting(preferResident: 0.2))
        let (dropped, dropping) = try evaluate(LossyRouting(dropCold: 0.9))
        #expect(weak.meanDivergence.value > 0 && strong.meanDivergence.value > weak.meanDivergence.value)
        // What is in memory depends a little on when it is read ahead, about as much as the weak help saves.
        #expect(strongly.missCount < plain.missCount && strongly.missCount < weakly.missCount)
        #expect(strongly.droppedCount == 0 && strongly.substitutedCount > weakly.substitutedCount)
        #expect(dropping.droppedCount > 0 && dropping.substitutedCount == 0)
        #expect(dropped.meanDivergence.value > 0 && dropping.missCount < plain.missCount)
        // An arena for everything needs no help but until it is full.
        let (_, roomy) = try evaluate(LossyRouting(preferResident: 0.2), slots: 128)
        #expect(roomy.substitutedCount < strongly.substitutedCount / 4)
    }

    /// Over many tokens: over a few, a rounding that turns a choice of experts counts as much as the planes.
    @Test func refiningGainsWhatItShould() throws {
        let bytes = try Data(contentsOf: URL(filePath: DemoModel.text)).prefix(9000)
        let reference = try DemoModel.load("f32", context: 512, cacheFormat: .f32)
        let text = try EvaluationText(
            name: "samples.txt", bytes: Array(bytes), container: DemoModel.container("f32"), contextLength: 512)
        func divergence(_ planes: PlaneChoice) throws -> Double {
            let model = try DemoModel.load("int8+int4", context: 512, cacheFormat: .f32, planes: planes)
            let result = try Evaluation(
                model, text: text, reference: reference, reading: .batches,
                progress: TextProgress(totalTokenCount: Evaluation.tokenCount(of: text, hasReference: true)))
            return try #require(result.comparison).meanDivergence.value
        }
        let (coarse, both) = (try divergence(.coarse), try divergence(.both))
        #expect(both < coarse * 0.5, "\(both) \(coarse)")
    }

    /// Prompts take another way through the attention, which must come to the same.
    @Test func promptsInFloatsAgree() throws {
        let comparison = try divergence("f32", .prefill)
        #expect(comparison.greatestDivergence > 0)
        #expect(comparison.meanDivergence.value <= 1e-6)
        #expect(comparison.topAgreement.value > 0.999)
    }

    /// Rounding the activations to int8 turns a small difference into one of a whole code now and then, and
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

import Evaluation
import Model
import Testing

/// What rounding does to the routers' choices.
@Suite struct RoutingTests {
    private func comparison(_ type: String, _ options: [String] = []) throws -> Evaluation.Comparison {
        let text = try EvaluationText(path: DemoModel.text, container: DemoModel.container("f32"), contextLength: 256)
        let result = try Evaluation(
            DemoModel.load(type, options, context: 256, cacheFormat: .f32), text: text,
            reference: DemoModel.load("f32", context: 256, cacheFormat: .f32),
            progress: TextProgress(totalTokenCount: Evaluation.tokenCount(of: text, hasReference: true)))
        return try #require(result.comparison)
    }

    @Test func tokensAreDividedByTheirExperts() throws {
        let comparison = try comparison("int8", ["--pure"])
        let routing = try #require(comparison.routing)
        let share = routing.agreement.value
        #expect(0.8 < share && share < 0.99)
        #expect(routing.divergenceOfOthers.value > 10 * routing.divergenceOfSame.value)
        let mean = share * routing.divergenceOfSame.value + (1 - share) * routing.divergenceOfOthers.value
        #expect(relativeDifference(mean, comparison.meanDivergence.value) < 1e-9)
    }

    /// The checkpoint is in bf16, so nothing is lost.
    @Test func exactWeightsChooseTheSame() throws {
        let comparison = try comparison("bf16")
        #expect(comparison.routing?.agreement.value == 1)
        #expect(comparison.greatestDivergence == 0)
    }

    @Test func theStandardInt8LosesLessThanThePureOne() throws {
        let (standard, pure) = (try comparison("int8"), try comparison("int8", ["--pure"]))
        let (first, second) = (try #require(standard.routing), try #require(pure.routing))
        #expect(first.divergenceOfSame.value < 0.85 * second.divergenceOfSame.value)
        #expect(first.agreement.value > second.agreement.value)
    }
}

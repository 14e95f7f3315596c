import Container
import Evaluation
import Glibc
import Model
import Testing

@Suite struct PerplexityTests {
    private static let contextLength = 128

    private func text(_ type: String) throws -> EvaluationText {
        try EvaluationText(
            path: DemoModel.text, container: DemoModel.container(type), contextLength: Self.contextLength)
    }

    private func progress(_ text: EvaluationText) -> TextProgress {
        TextProgress(totalTokenCount: text.tokenCount)
    }

    /// ln softmax of every scored position, the slow and obvious way.
    private func logProbabilities(_ type: String, _ text: EvaluationText) throws -> [[[Double]]] {
        let model = try DemoModel.load(type, context: Self.contextLength)
        let vocabulary = model.configuration.vocabularySize
        return try text.chunks.map { chunk in
            let trace = try Trace(Trace.Request(tokens: Array(chunk), isStepwise: true), model: model)
            return (Self.contextLength / 2..<Self.contextLength - 1).map { position in
                let logits = trace.logits[position * vocabulary..<(position + 1) * vocabulary].map(Double.init)
                let sum = logits.reduce(0) { $0 + exp($1) }
                return logits.map { $0 - log(sum) }
            }
        }
    }

    @Test func equalsAnIndependentComputation() throws {
        let text = try text("int4")
        try #require(text.chunks.count > 20)
        let result = try Evaluation(
            DemoModel.load("int4", context: Self.contextLength, chunk: 48), text: text,
            reference: DemoModel.load("f32", context: Self.contextLength), progress: progress(text))
        let comparison = try #require(result.comparison)

        var surprises: [Double] = []
        var divergences: [Double] = []
        var agreements = 0.0
        let pairs = zip(try logProbabilities("int4", text), try logProbabilities("f32", text))
        for (chunk, (rows, expectedRows)) in zip(text.chunks, pairs) {
            let next = Array(chunk)[(Self.contextLength / 2 + 1)...]
            for ((row, expected), token) in zip(zip(rows, expectedRows), next) {
                surprises.append(-row[Int(token)])
                divergences.append(zip(row, expected).reduce(0) { $0 + exp($1.1) * ($1.1 - $1.0) })
                let (best, expectedBest) = (row.max() ?? 0, expected.max() ?? 0)
                agreements += row.firstIndex(of: best) == expected.firstIndex(of: expectedBest) ? 1 : 0
            }
        }
        let count = Double(surprises.count)
        #expect(result.scoredTokenCount == surprises.count)
        #expect(surprises.count == text.chunks.count * (Self.contextLength / 2 - 1))
        let mean = surprises.reduce(0, +) / count
        let variance = surprises.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)
        #expect(relativeDifference(result.perplexity.value, exp(mean)) < 1e-9)
        #expect(relativeDifference(result.perplexity.standardError, exp(mean) * sqrt(variance / count)) < 1e-9)
        #expect(relativeDifference(comparison.meanDivergence.value, divergences.reduce(0, +) / count) < 1e-6)
        divergences.sort()
        #expect(comparison.greatestDivergence == comparison.greatestDivergence.magnitude)
        #expect(relativeDifference(comparison.greatestDivergence, divergences[divergences.count - 1]) < 1e-6)
        #expect(comparison.medianDivergence >= divergences[divergences.count / 2 - 1] * (1 - 1e-6))
        #expect(comparison.medianDivergence <= divergences[divergences.count / 2 + 1] * (1 + 1e-6))
        #expect(comparison.topAgreement.value == agreements / count)
        #expect(comparison.meanDivergence.value > 0.005, "int4 costs something")
    }

    @Test func aModelDoesNotDivergeFromItself() throws {
        let text = try text("int4")
        let model = try DemoModel.load("int4", context: Self.contextLength)
        let other = try DemoModel.load("int4", context: Self.contextLength, chunk: 24, threads: 1)
        let result = try Evaluation(model, text: text, reference: other, progress: progress(text))
        let comparison = try #require(result.comparison)
        #expect(comparison.greatestDivergence == 0)
        #expect(comparison.topAgreement == Estimate(value: 1, standardError: 0))
        #expect(comparison.perplexityRatio == Estimate(value: 1, standardError: 0))
    }

    @Test func everyTokenIsReadOnceAndCounted() throws {
        let text = try text("int8")
        let model = try DemoModel.load("int8", context: Self.contextLength)
        let progress = TextProgress(totalTokenCount: Evaluation.tokenCount(of: text, hasReference: true))
        _ = try Evaluation(model, text: text, reference: model, progress: progress)
        #expect(progress.tokenCount == progress.totalTokenCount)
        #expect(progress.totalTokenCount == 2 * text.chunks.count * Self.contextLength)
    }

    @Test func chunksBeginWithTheBeginToken() throws {
        let text = try text("int4")
        #expect(text.chunks.allSatisfy { $0.count == Self.contextLength && $0.first == 0 })
        let other = try EvaluationText(
            path: DemoModel.text, container: DemoModel.container("int4"), contextLength: Self.contextLength * 2)
        #expect(Array(other.chunks[0])[1..<100] == Array(text.chunks[0])[1..<100])
        #expect(other.identity == text.identity)
    }

    @Test(arguments: [[UInt8]("too short".utf8), [0x41, 0xFF, 0xFE], []])
    func refusesTextsThatCannotBeRead(_ bytes: [UInt8]) throws {
        let container = try DemoModel.container("int4")
        let error = #expect(throws: EvaluationError.self) {
            try EvaluationText(name: "bad.txt", bytes: bytes, container: container, contextLength: 512)
        }
        #expect(error?.code == .unusableText)
        #expect(error?.description.contains("bad.txt") == true)
    }

    @Test func stopsWhenItIsCancelled() throws {
        let text = try text("int4")
        let model = try DemoModel.load("int4", context: Self.contextLength)
        let progress = progress(text)
        let error = #expect(throws: ModelError.self) {
            try Evaluation(
                model, text: text, progress: progress, cancelled: { progress.tokenCount >= Self.contextLength })
        }
        #expect(error?.code == .cancelled)
        #expect(progress.tokenCount == Self.contextLength)
    }
}

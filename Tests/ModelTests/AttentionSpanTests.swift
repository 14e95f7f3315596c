import Compute
import Model
import TestSupport
import Testing

/// Contexts longer than a span of positions, beyond what the reference outputs reach.
@Suite struct AttentionSpanTests {
    private static let tokens = (0..<400).map { Int32($0 * 37 % 256) }
    private static let models: [ReferenceModel] = [.deepseekV3, .qwen3MoE, .glm4MoE]

    /// Logits after a prompt and after each of three more tokens.
    private func logits(
        _ reference: ReferenceModel, chunk: Int = 256, threads: Int = 1, kernels: Kernels = .best,
        cacheFormat: CacheFormat = .bf16, promptCount: Int = 397
    ) throws -> [Float] {
        let model = try load(
            reference, context: 512, chunk: chunk, cacheFormat: cacheFormat, threads: threads, kernels: kernels)
        let state = try model.makeState()
        try model.prefill(Self.tokens[..<promptCount], state: state)
        var result = Array(model.logits)
        for token in Self.tokens[promptCount...] {
            let logits = try model.decode(token, state: state)
            if state.tokenCount > 397 { result += Array(logits) }
        }
        return result
    }

    @Test(arguments: models, [CacheFormat.f32, .bf16])
    func chunksThreadsAndProcessorsDontMatter(_ reference: ReferenceModel, _ format: CacheFormat) throws {
        let expected = try logits(reference, cacheFormat: format)
        #expect(expected.allSatisfy { $0.isFinite })
        let cut = try logits(reference, chunk: 37, threads: 3, cacheFormat: format)
        #expect(areIdentical(expected, cut))
        for kernels in Kernels.available {
            let found = try logits(reference, threads: 2, kernels: kernels, cacheFormat: format)
            #expect(areIdentical(expected, found), "\(kernels.name)")
        }
    }

    @Test(arguments: models)
    func prefillAndDecodeAgree(_ reference: ReferenceModel) throws {
        let whole = try logits(reference, cacheFormat: .f32).suffix(256)
        let decoded = try logits(reference, cacheFormat: .f32, promptCount: 1).suffix(256)
        #expect(relativeError(decoded, whole) <= 1e-4)
    }

    /// Grouped attention has one form for both.
    @Test(arguments: [ReferenceModel.qwen3MoE, .glm4MoE, .mixtral, .olmoe, .deepseekV1])
    func groupedAttentionGivesTheSameBitsByPrefillAndDecode(_ reference: ReferenceModel) throws {
        let (whole, decoded) = (try logits(reference), try logits(reference, promptCount: 1))
        #expect(areIdentical(Array(whole.suffix(256)), Array(decoded.suffix(256))))
    }
}

import Container

/// Qwen3's sparse models (30B-A3B, 235B-A22B): normed heads, softmax router, no shared experts.
enum Qwen3MoE: Family {
    static let modelTypes = ["qwen3_moe"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        try GroupedDecoder.read(
            reader, modelType: modelType, .init(headNorm: .perHead, windows: .all, hasWindowsByDefault: false),
            readFeedForward: readFeedForward)
    }

    private static func readFeedForward(
        _ reader: ConfigurationReader, layerCount: Int
    ) throws(CheckpointError) -> GroupedDecoder.FeedForward {
        let step = try reader.countIfPresent("decoder_sparse_step", in: 1...4096) ?? 1
        let dense = try reader.tokens("mlp_only_layers", below: layerCount)
        // The newer spelling is the second one.
        let key = reader.has("num_experts") ? "num_experts" : "num_local_experts"
        let count = try reader.count(key, in: 1...1 << 16)
        let perToken = try reader.count("num_experts_per_tok", in: 1...count)
        let normalizes = try reader.bool("norm_topk_prob")
        return .init(
            denseIntermediateSize: try reader.count("intermediate_size", in: 1...1 << 20),
            sparseLayers: (0..<layerCount).map { ($0 + 1).isMultiple(of: step) && !dense.contains($0) },
            experts: .init(
                routedExpertCount: count, expertsPerToken: perToken,
                intermediateSize: try reader.count("moe_intermediate_size", in: 1...1 << 20),
                sharedIntermediateSize: 0, router: .softmax(normalizesWeights: normalizes)))
    }
}

import Container

/// DeepSeekMoE 16B: a key and a value for every head, softmax router, shared experts.
enum DeepSeekV1: Family {
    static let modelTypes = ["deepseek"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        try GroupedDecoder.read(reader, modelType: modelType, .init(), readFeedForward: readFeedForward)
    }

    private static func readFeedForward(
        _ reader: ConfigurationReader, layerCount: Int
    ) throws(CheckpointError) -> GroupedDecoder.FeedForward {
        let denseLayerCount = try reader.count("first_k_dense_replace", in: 0...layerCount)
        let sparseEvery = try reader.countIfPresent("moe_layer_freq", in: 1...4096) ?? 1
        let count = try reader.count("n_routed_experts", in: 1...1 << 16)
        let width = try reader.count("moe_intermediate_size", in: 1...1 << 20)
        let sharedCount = try reader.countIfPresent("n_shared_experts", in: 0...1024) ?? 0
        let perToken = try reader.count("num_experts_per_tok", in: 1...count)
        // The reference implements no other.
        _ = try reader.name("scoring_func", accepted: ["softmax"])
        let normalizes = try reader.bool("norm_topk_prob") && perToken > 1
        return .init(
            denseIntermediateSize: try reader.count("intermediate_size", in: 1...1 << 20),
            sparseLayers: (0..<layerCount).map { $0 >= denseLayerCount && $0.isMultiple(of: sparseEvery) },
            experts: .init(
                routedExpertCount: count, expertsPerToken: perToken, intermediateSize: width,
                sharedIntermediateSize: sharedCount * width, router: .softmax(normalizesWeights: normalizes)))
    }
}

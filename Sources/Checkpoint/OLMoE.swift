import Container

/// OLMoE: queries and keys are normed over all heads together, the router's weights stay as the softmax gives them.
enum OLMoE: Family {
    static let modelTypes = ["olmoe"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        if let limit = reader.take("clip_qkv") {
            throw reader.failure("clip_qkv", "this value isn't supported", expected: "null", found: limit)
        }
        return try GroupedDecoder.read(
            reader, modelType: modelType, .init(headNorm: .whole), readFeedForward: readFeedForward)
    }

    private static func readFeedForward(
        _ reader: ConfigurationReader, layerCount: Int
    ) throws(CheckpointError) -> GroupedDecoder.FeedForward {
        let count = try reader.count("num_experts", in: 1...1 << 16)
        return .init(
            sparseLayers: Array(repeating: true, count: layerCount),
            experts: .init(
                routedExpertCount: count, expertsPerToken: try reader.count("num_experts_per_tok", in: 1...count),
                intermediateSize: try reader.count("intermediate_size", in: 1...1 << 20), sharedIntermediateSize: 0,
                router: .softmax(normalizesWeights: try reader.bool("norm_topk_prob"))))
    }
}

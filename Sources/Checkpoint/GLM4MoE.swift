import Container

/// GLM-4.5 and GLM-4.6: grouped attention that rotates a part of each head, routed as DeepSeek-V3 does.
enum GLM4MoE: Family {
    static let modelTypes = ["glm4_moe"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        let norms = try reader.boolIfPresent("use_qk_norm") ?? false
        return try GroupedDecoder.read(
            reader, modelType: modelType,
            .init(headNorm: norms ? .perHead : .none, biasReachesOutput: false, partialRotation: 0.5),
            readFeedForward: readFeedForward)
    }

    static func readFeedForward(
        _ reader: ConfigurationReader, layerCount: Int
    ) throws(CheckpointError) -> GroupedDecoder.FeedForward {
        let denseLayerCount = try reader.count("first_k_dense_replace", in: 0...layerCount)
        let count = try reader.count("n_routed_experts", in: 1...1 << 16)
        let width = try reader.count("moe_intermediate_size", in: 1...1 << 20)
        let sharedCount = try reader.countIfPresent("n_shared_experts", in: 0...1024) ?? 0
        let routing = try DeepSeekV3.readRouter(reader, expertCount: count)
        return .init(
            denseIntermediateSize: try reader.count("intermediate_size", in: 1...1 << 20),
            sparseLayers: (0..<layerCount).map { $0 >= denseLayerCount },
            experts: .init(
                routedExpertCount: count, expertsPerToken: routing.expertsPerToken, intermediateSize: width,
                sharedIntermediateSize: sharedCount * width, router: routing.router))
    }
}

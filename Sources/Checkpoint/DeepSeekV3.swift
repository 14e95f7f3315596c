import Container
import JSON

/// DeepSeek-V3, R1, V3.1, Moonlight and Kimi-K2: latent attention, sigmoid router with a selection bias.
enum DeepSeekV3: Family {
    static let modelTypes = ["deepseek_v3", "kimi_k2"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        try LatentDecoder.read(reader, modelType: modelType, readRouter: readRouter)
    }

    static func readRouter(
        _ reader: ConfigurationReader, expertCount count: Int
    ) throws(CheckpointError) -> LatentDecoder.Routing {
        let groupCount = try reader.count("n_group", in: 1...count)
        // A group is scored by its two best experts.
        guard count.isMultiple(of: groupCount), groupCount == 1 || count / groupCount >= 2 else {
            throw reader.failure(
                "n_group", "doesn't divide the experts into groups of two or more",
                expected: "a divisor of \(count)", found: .integer(groupCount))
        }
        let groupsPerToken = try reader.count("topk_group", in: 1...groupCount)
        // The reference implements no others; absent, it takes these.
        _ = try reader.name("scoring_func", accepted: ["sigmoid"])
        _ = try reader.name("topk_method", accepted: ["noaux_tc"])
        return .init(
            expertsPerToken: try reader.count("num_experts_per_tok", in: 1...count / groupCount * groupsPerToken),
            router: .init(
                scoring: .sigmoid, hasSelectionBias: true, groupCount: groupCount, groupsPerToken: groupsPerToken,
                groupScore: .topTwoSum, normalizesWeights: try reader.bool("norm_topk_prob"),
                weightScale: Float(try reader.number("routed_scaling_factor"))))
    }
}

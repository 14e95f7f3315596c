import Container
import JSON

/// DeepSeek-V2 and V2-Lite: latent attention, softmax router without a selection bias.
enum DeepSeekV2: Family {
    static let modelTypes = ["deepseek_v2"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        // The reference knows no other pairing.
        try reader.mustBe("rope_interleave", .bool(true))
        return try LatentDecoder.read(reader, modelType: modelType, readRouter: readRouter)
    }

    /// The chosen weights are normalised *or* scaled, never both: what sets this family apart from V3.
    private static func readRouter(
        _ reader: ConfigurationReader, expertCount count: Int
    ) throws(CheckpointError) -> LatentDecoder.Routing {
        // The reference implements no other; absent, it takes this.
        _ = try reader.name("scoring_func", accepted: ["softmax"])
        let (groupCount, groupsPerToken) = try readGroups(reader, expertCount: count)
        let expertsPerToken = try reader.count(
            "num_experts_per_tok", in: 1...count / groupCount * groupsPerToken)
        let normalizes = try reader.bool("norm_topk_prob") && expertsPerToken > 1
        let scale = Float(try reader.number("routed_scaling_factor"))
        return .init(
            expertsPerToken: expertsPerToken,
            router: .init(
                scoring: .softmax, hasSelectionBias: false, groupCount: groupCount, groupsPerToken: groupsPerToken,
                groupScore: .maximum, normalizesWeights: normalizes, weightScale: normalizes ? 1 : scale))
    }

    /// The plain method chooses among all experts, whatever the keys of the groups say.
    private static func readGroups(
        _ reader: ConfigurationReader, expertCount count: Int
    ) throws(CheckpointError) -> (count: Int, perToken: Int) {
        let accepted = ["greedy", "group_limited_greedy"]
        guard let method = try reader.name("topk_method", accepted: accepted) else {
            throw reader.failure("topk_method", "this key is missing")
        }
        guard method == "group_limited_greedy" else {
            reader.ignore(["n_group", "topk_group"])
            return (1, 1)
        }
        let groupCount = try reader.count("n_group", in: 1...count)
        guard count.isMultiple(of: groupCount) else {
            throw reader.failure(
                "n_group", "doesn't divide the experts into groups", expected: "a divisor of \(count)",
                found: .integer(groupCount))
        }
        return (groupCount, try reader.count("topk_group", in: 1...groupCount))
    }
}

import Container
import JSON

/// One of GGUF's architectures: which family it is, and what its metadata mean in that family's terms.
struct GGUFArchitecture: Sendable {
    /// `general.architecture`, and the beginning of its keys.
    let name: String
    /// Whether the two halves of each head alternate in the rows of queries and keys.
    var alternatesHalves = false
    /// Names of tensors that aren't the common ones.
    var names: [TensorRole: String] = [:]
    /// Takes the keys that not all have in common, and says which `model_type` it is.
    let read: @Sendable (inout GGUFConfiguration) throws(CheckpointError) -> String

    static let all = [
        GGUFArchitecture(name: "llama", alternatesHalves: true, read: readLlama),
        GGUFArchitecture(name: "qwen3", read: readQwen3),
        GGUFArchitecture(name: "qwen3moe", read: readQwen3MoE),
        GGUFArchitecture(name: "olmoe", read: readOLMoE),
        GGUFArchitecture(name: "deepseek", alternatesHalves: true, read: readDeepSeekV1),
        GGUFArchitecture(name: "deepseek2", read: readDeepSeek),
        GGUFArchitecture(name: "glm4moe", names: normBehindAttention, read: readGLM4MoE),
        GGUFArchitecture(name: "dots1", read: readDots1),
        GGUFArchitecture(name: "gpt-oss", names: normBehindAttention, read: readGPTOSS),
    ]

    private static let normBehindAttention = [TensorRole.feedForwardNorm: "post_attention_norm.weight"]

    static func of(_ model: GGUFModel) throws(CheckpointError) -> GGUFArchitecture {
        let name = model.files[0].text("general.architecture")
        if let name, let architecture = all.first(where: { $0.name == name }) { return architecture }
        throw CheckpointError(
            .unsupportedFamily, "models of this architecture aren't supported", path: model.path,
            key: "general.architecture", expected: all.map { "\"\($0.name)\"" }.joined(separator: " or "),
            found: name.map { "\"\($0.prefix(80))\"" } ?? "no name")
    }

    func name(of key: TensorKey, sharesEmbedding: Bool) -> String? {
        if key.role == .outputHead, sharesEmbedding { return GGUFNames.embedding }
        let name = names[key.role] ?? GGUFNames.common[key.role]
        return name.map { (key.layer.map(GGUFNames.prefix(ofLayer:)) ?? "") + $0 }
    }

    /// Mixtral where there are experts.
    private static func readLlama(_ file: inout GGUFConfiguration) throws(CheckpointError) -> String {
        try file.readGrouped()
        guard let count = try file.keys.countIfPresent("expert_count", in: 0...1 << 16), count > 0 else {
            try file.keys.mustBe("expert_used_count", .integer(0))
            return "llama"
        }
        file.set("num_local_experts", .integer(count))
        file.copy(["expert_used_count": "num_experts_per_tok"])
        try file.mustScoreBy(.softmax)
        return "mixtral"
    }

    private static func readQwen3(_ file: inout GGUFConfiguration) throws(CheckpointError) -> String {
        try file.readGrouped()
        return "qwen3"
    }

    private static func readQwen3MoE(_ file: inout GGUFConfiguration) throws(CheckpointError) -> String {
        try file.readGrouped()
        file.copy([
            "expert_count": "num_experts", "expert_used_count": "num_experts_per_tok",
            "expert_feed_forward_length": "moe_intermediate_size",
        ])
        try file.mustScoreBy(.softmax)
        try file.keys.mustBe("expert_weights_norm", .bool(true))
        try file.keys.mustBe("expert_weights_scale", .integer(1))
        file.set("norm_topk_prob", .bool(true))
        return "qwen3_moe"
    }

    private static func readOLMoE(_ file: inout GGUFConfiguration) throws(CheckpointError) -> String {
        try file.readGrouped()
        file.copy(["expert_count": "num_experts", "expert_used_count": "num_experts_per_tok"])
        try file.mustScoreBy(.softmax)
        try file.keys.mustBe("expert_weights_norm", .bool(false))
        try file.keys.mustBe("expert_weights_scale", .integer(1))
        file.set("norm_topk_prob", .bool(false))
        return "olmoe"
    }

    private static func readDeepSeekV1(_ file: inout GGUFConfiguration) throws(CheckpointError) -> String {
        try file.readGrouped()
        file.readSharedAndRouted()
        try file.mustScoreBy(.softmax)
        try file.keys.mustBe("expert_weights_norm", .bool(false))
        try file.keys.mustBe("expert_weights_scale", .integer(1))
        file.set("norm_topk_prob", .bool(false))
        return "deepseek"
    }

    /// DeepSeek-V2, V3 and all that are built like them; the scoring and the tokenizer tell which it is.
    private static func readDeepSeek(_ file: inout GGUFConfiguration) throws(CheckpointError) -> String {
        try file.readLatent()
        file.readSharedAndRouted()
        let groupCount = try file.readGroups()
        file.copy("expert_weights_norm", to: "norm_topk_prob", absent: .bool(false))
        file.copy("expert_weights_scale", to: "routed_scaling_factor", absent: .integer(1))
        guard try file.readScoring() == .sigmoid else {
            file.set("topk_method", .string(groupCount > 1 ? "group_limited_greedy" : "greedy"))
            return "deepseek_v2"
        }
        return switch file.model.files[0].text("tokenizer.ggml.pre") {
        case "glm4", "chatglm-bpe": "glm4_moe_lite"
        case "kimi-k2": "kimi_k2"
        default: "deepseek_v3"
        }
    }

    private static func readGLM4MoE(_ file: inout GGUFConfiguration) throws(CheckpointError) -> String {
        try file.readGrouped(takesPartialRotation: true)
        try file.readBiasedChoice()
        // The smaller models have the one, the larger ones the other.
        file.set("attention_bias", .bool(file.has("blk.0.attn_q.bias")))
        file.set("use_qk_norm", .bool(file.has("blk.0.attn_q_norm.weight")))
        return "glm4_moe"
    }

    private static func readDots1(_ file: inout GGUFConfiguration) throws(CheckpointError) -> String {
        try file.readGrouped()
        try file.readBiasedChoice()
        return "dots1"
    }

    private static func readGPTOSS(_ file: inout GGUFConfiguration) throws(CheckpointError) -> String {
        try file.readGrouped()
        try file.keys.mustBe("expert_feed_forward_length", file.json["intermediate_size"] ?? .null)
        file.copy([
            "attention.sliding_window": "sliding_window", "expert_count": "num_local_experts",
            "expert_used_count": "num_experts_per_tok",
        ])
        // Published configurations say it, and files don't.
        file.hasExactRamp = true
        file.endAnswers(with: ["<|return|>", "<|endoftext|>", "<|call|>"])
        return "gpt_oss"
    }
}

/// What several architectures have in common.
extension GGUFConfiguration {
    /// `expert_gating_func`.
    enum Scoring: Int {
        case softmax = 1
        case sigmoid = 2
    }

    func mustScoreBy(_ scoring: Scoring) throws(CheckpointError) {
        try keys.mustBe("expert_gating_func", .integer(scoring.rawValue))
    }

    /// Where the file doesn't say it, the bias by which sigmoid scores are chosen does.
    func readScoring() throws(CheckpointError) -> Scoring? {
        let isBiased = model.entries.keys.contains { $0.hasSuffix(".exp_probs_b.bias") }
        let scoring = try keys.countIfPresent("expert_gating_func", in: 1...2)
        return Scoring(rawValue: scoring ?? (isBiased ? Scoring.sigmoid : .softmax).rawValue)
    }

    mutating func readSharedAndRouted() {
        copy("leading_dense_block_count", to: "first_k_dense_replace", absent: .integer(0))
        copy([
            "expert_count": "n_routed_experts", "expert_used_count": "num_experts_per_tok",
            "expert_shared_count": "n_shared_experts", "expert_feed_forward_length": "moe_intermediate_size",
        ])
    }

    /// Routing as DeepSeek-V3's, in files that may leave out what does nothing.
    mutating func readBiasedChoice() throws(CheckpointError) {
        readSharedAndRouted()
        copy("expert_group_count", to: "n_group", absent: .integer(1))
        copy("expert_group_used_count", to: "topk_group", absent: .integer(1))
        copy("expert_weights_norm", to: "norm_topk_prob", absent: .bool(false))
        copy("expert_weights_scale", to: "routed_scaling_factor", absent: .integer(1))
        try mustScoreBy(.sigmoid)
    }

    /// The newer files describe latent attention as if all heads had one key and value, the latent, and have the real
    /// sizes in keys of their own.
    mutating func readLatent() throws(CheckpointError) {
        copy(["attention.q_lora_rank": "q_lora_rank", "attention.kv_lora_rank": "kv_lora_rank"])
        let rotated = try keys.count("rope.dimension_count", in: 2...1 << 14)
        let isNewer = keys.has("attention.key_length_mla")
        let keySize = isNewer ? "attention.key_length_mla" : "attention.key_length"
        let size = try keys.count(keySize, in: rotated + 1...1 << 15)
        set("qk_nope_head_dim", .integer(size - rotated), from: keys.path(of: keySize))
        set("qk_rope_head_dim", .integer(rotated), from: keys.path(of: "rope.dimension_count"))
        copy(isNewer ? "attention.value_length_mla" : "attention.value_length", to: "v_head_dim")
        keys.ignore(["attention.key_length", "attention.value_length", "attention.head_count_kv"])
    }

    /// Embedding, layers and experts of published models of which there are files that don't tell the groups, and how
    /// many groups there are and are chosen.
    private static let publishedGroups: [[Int]: (count: Int, perToken: Int)] = [
        [7168, 61, 256]: (8, 4), [5120, 60, 160]: (8, 3), [2048, 27, 64]: (1, 1), [7168, 61, 384]: (1, 1),
    ]

    /// - Returns: how many there are.
    mutating func readGroups() throws(CheckpointError) -> Int {
        if let count = try keys.countIfPresent("expert_group_count", in: 1...1 << 16) {
            set("n_group", .integer(count), from: keys.path(of: "expert_group_count"))
            copy(["expert_group_used_count": "topk_group"])
            return count
        }
        let shape = ["hidden_size", "num_hidden_layers", "n_routed_experts"].map { json[$0]?.integer ?? 0 }
        if Self.publishedGroups[shape] == nil {
            warnings.append(
                "The file doesn't say whether experts are chosen by groups; they are chosen among all of them.")
        }
        let groups = Self.publishedGroups[shape] ?? (1, 1)
        set("n_group", .integer(groups.count))
        set("topk_group", .integer(groups.perToken))
        return groups.count
    }
}

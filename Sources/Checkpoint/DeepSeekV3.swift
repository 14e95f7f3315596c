import Container

/// DeepSeek-V3, R1, V3.1 and Moonlight: latent attention, sigmoid router with a selection bias.
enum DeepSeekV3: Family {
    static let modelTypes = ["deepseek_v3"]

    /// The reference builds the norms of the latents with their class's default, whatever `rms_norm_eps` is.
    static let latentNormEpsilon: Float = 1e-6

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        reader.ignore(IgnoredKeys.all)
        let scaling = try BlockScaling(reader)
        let layerCount = try reader.count("num_hidden_layers", in: 1...4096)
        let contextLength = try reader.count("max_position_embeddings", in: 1...1 << 30)
        let vocabularySize = try reader.count("vocab_size", in: 1...1 << 24)
        let rotary = try RotaryReading(reader, contextLength: contextLength)
        let attention = try readAttention(reader, softmaxFactor: rotary.softmaxFactor)
        // The other pairing and these extras occur in no released model.
        try reader.mustBe("rope_interleave", .bool(true))
        try reader.mustBe("attention_bias", .bool(false))
        try reader.mustBe("mlp_bias", .bool(false))
        try reader.mustBe("hidden_act", .string("silu"))
        let sharesEmbedding = try reader.boolIfPresent("tie_word_embeddings") ?? false
        let predictionLayerCount = try reader.countIfPresent("num_nextn_predict_layers", in: 0...64) ?? 0
        let denseLayerCount = try reader.count("first_k_dense_replace", in: 0...layerCount)
        let sparseEvery = try reader.countIfPresent("moe_layer_freq", in: 1...4096) ?? 1
        let sparseLayers = (0..<layerCount).map { $0 >= denseLayerCount && $0.isMultiple(of: sparseEvery) }
        let denseWidth = try reader.count("intermediate_size", in: 1...1 << 20)
        let experts = try readExperts(reader)
        let configuration = ModelConfiguration(
            family: modelType, vocabularySize: vocabularySize,
            hiddenSize: try reader.count("hidden_size", in: 1...1 << 20), layerCount: layerCount,
            contextLength: contextLength, normEpsilon: Float(try reader.number("rms_norm_eps")),
            attention: .latent(attention), rotary: rotary.rotary, activation: .silu,
            denseIntermediateSize: sparseLayers.contains(false) ? denseWidth : 0, sparseLayers: sparseLayers,
            experts: sparseLayers.contains(true) ? experts : nil,
            beginToken: try reader.tokens("bos_token_id", below: vocabularySize).first,
            endTokens: try reader.tokens("eos_token_id", below: vocabularySize))
        return FamilyReading(
            configuration: configuration, scaling: scaling,
            nameOfTensor: { name(of: $0, sharesEmbedding: sharesEmbedding) }, nameOfExpert: name(of:_:),
            skipped: skipped(
                layerCount: layerCount, predictionLayerCount: predictionLayerCount, sharesEmbedding: sharesEmbedding))
    }

    private static func readAttention(
        _ reader: ConfigurationReader, softmaxFactor: Double
    ) throws(CheckpointError) -> ModelConfiguration.LatentAttention {
        let headCount = try reader.count("num_attention_heads", in: 1...1 << 14)
        let plain = try reader.count("qk_nope_head_dim", in: 1...1 << 14)
        let rope = try reader.count("qk_rope_head_dim", in: 2...1 << 14)
        guard rope.isMultiple(of: 2) else {
            throw reader.failure("qk_rope_head_dim", "can't be split into pairs", found: .integer(rope))
        }
        // Latent attention has a key and a value for every head; the other two only repeat what is said above.
        try reader.mustBe("num_key_value_heads", .integer(headCount))
        try reader.mustBe("head_dim", .integer(rope))
        try reader.mustBe("qk_head_dim", .integer(plain + rope))
        return .init(
            headCount: headCount, queryLatentRank: try reader.countIfPresent("q_lora_rank", in: 1...1 << 20),
            keyValueLatentRank: try reader.count("kv_lora_rank", in: 1...1 << 20), plainHeadSize: plain,
            ropeHeadSize: rope, valueHeadSize: try reader.count("v_head_dim", in: 1...1 << 14),
            latentNormEpsilon: latentNormEpsilon,
            softmaxScale: Float(softmaxFactor / Double(plain + rope).squareRoot()))
    }

    private static func readExperts(
        _ reader: ConfigurationReader
    ) throws(CheckpointError) -> ModelConfiguration.Experts {
        let count = try reader.count("n_routed_experts", in: 1...1 << 16)
        let width = try reader.count("moe_intermediate_size", in: 1...1 << 20)
        let sharedCount = try reader.countIfPresent("n_shared_experts", in: 0...1024) ?? 0
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
            routedExpertCount: count,
            expertsPerToken: try reader.count("num_experts_per_tok", in: 1...count / groupCount * groupsPerToken),
            intermediateSize: width, sharedIntermediateSize: sharedCount * width,
            router: .init(
                scoring: .sigmoid, hasSelectionBias: true, groupCount: groupCount, groupsPerToken: groupsPerToken,
                groupScore: .topTwoSum, normalizesWeights: try reader.bool("norm_topk_prob"),
                weightScale: Float(try reader.number("routed_scaling_factor"))))
    }
}

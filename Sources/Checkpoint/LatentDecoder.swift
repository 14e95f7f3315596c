import Container
import JSON

/// What DeepSeek-V2 and its successors have in common: latent attention, dense layers first, experts in the others.
enum LatentDecoder {
    /// The reference builds the norms of the latents with their class's default, whatever `rms_norm_eps` is.
    static let latentNormEpsilon: Float = 1e-6

    /// - Parameters:
    ///   - readSparseLayers: which layers are sparse, for a number of them.
    ///   - readRouter: reads the router's keys; what differs between the families.
    static func read(
        _ reader: ConfigurationReader, modelType: String,
        readSparseLayers: (ConfigurationReader, _ layerCount: Int) throws(CheckpointError) -> [Bool] = sparseLayers,
        readRouter: (ConfigurationReader, _ expertCount: Int) throws(CheckpointError) -> Routing
    ) throws(CheckpointError) -> FamilyReading {
        reader.ignore(IgnoredKeys.all)
        let encoding = try WeightEncoding(reader)
        let layerCount = try reader.count("num_hidden_layers", in: 1...4096)
        let contextLength = try reader.count("max_position_embeddings", in: 1...1 << 30)
        let vocabularySize = try reader.count("vocab_size", in: 1...1 << 24)
        let isInterleaved = try reader.boolIfPresent("rope_interleave") ?? true
        let rotary = try RotaryReading(
            reader, contextLength: contextLength, pairing: isInterleaved ? .interleaved : .halves)
        let attention = try readAttention(reader, softmaxFactor: rotary.softmaxFactor)
        // These extras occur in no released model.
        try reader.mustBe("attention_bias", .bool(false))
        try reader.mustBe("mlp_bias", .bool(false))
        try reader.mustBe("hidden_act", .string("silu"))
        let sharesEmbedding = try reader.boolIfPresent("tie_word_embeddings") ?? false
        let predictionLayerCount = try reader.countIfPresent("num_nextn_predict_layers", in: 0...64) ?? 0
        let sparseLayers = try readSparseLayers(reader, layerCount)
        let denseWidth = try reader.count("intermediate_size", in: 1...1 << 20)
        let experts = try readExperts(reader, readRouter)
        let configuration = ModelConfiguration(
            family: modelType, vocabularySize: vocabularySize,
            hiddenSize: try reader.count("hidden_size", in: 1...1 << 20), layerCount: layerCount,
            contextLength: contextLength, normEpsilon: Float(try reader.number("rms_norm_eps")),
            attention: .latent(attention), rotary: rotary.rotary(headSize: attention.ropeHeadSize), activation: .silu,
            denseIntermediateSize: sparseLayers.contains(false) ? denseWidth : 0, sparseLayers: sparseLayers,
            experts: sparseLayers.contains(true) ? experts : nil,
            beginToken: try reader.tokens("bos_token_id", below: vocabularySize).first,
            endTokens: try reader.tokens("eos_token_id", below: vocabularySize))
        return FamilyReading(
            configuration: configuration, encoding: encoding,
            nameOfTensor: { CommonNames.name(of: $0, sharesEmbedding: sharesEmbedding) },
            nameOfExpert: CommonNames.name(of:_:),
            skipped: CommonNames.skipped(sharesEmbedding: sharesEmbedding), predictionLayerCount: predictionLayerCount)
    }

    static func sparseLayers(
        _ reader: ConfigurationReader, layerCount: Int
    ) throws(CheckpointError) -> [Bool] {
        let denseLayerCount = try reader.count("first_k_dense_replace", in: 0...layerCount)
        let sparseEvery = try reader.countIfPresent("moe_layer_freq", in: 1...4096) ?? 1
        return (0..<layerCount).map { $0 >= denseLayerCount && $0.isMultiple(of: sparseEvery) }
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
        _ reader: ConfigurationReader,
        _ readRouter: (ConfigurationReader, Int) throws(CheckpointError) -> Routing
    ) throws(CheckpointError) -> ModelConfiguration.Experts {
        let count = try reader.count("n_routed_experts", in: 1...1 << 16)
        let width = try reader.count("moe_intermediate_size", in: 1...1 << 20)
        let sharedCount = try reader.countIfPresent("n_shared_experts", in: 0...1024) ?? 0
        let routing = try readRouter(reader, count)
        return .init(
            routedExpertCount: count, expertsPerToken: routing.expertsPerToken, intermediateSize: width,
            sharedIntermediateSize: sharedCount * width, router: routing.router)
    }

    /// How a token finds its experts.
    struct Routing {
        var expertsPerToken: Int
        var router: ModelConfiguration.Router
    }
}

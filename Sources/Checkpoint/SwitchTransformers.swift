import Container
import JSON

/// Switch Transformers (arXiv 2101.03961): T5's encoder-decoder, in which some layers send each token to one expert, as long
/// as that has room for it.
enum SwitchTransformers: Family {
    static let modelTypes = ["switch_transformers"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        try checkFixedKeys(reader)
        let hiddenSize = try reader.count("d_model", in: 1...1 << 20)
        let vocabularySize = try reader.count("vocab_size", in: 1...1 << 24)
        let encoderCount = try reader.count("num_layers", in: 1...4096)
        let decoderCount = try reader.countIfPresent("num_decoder_layers", in: 1...4096) ?? encoderCount
        let sparseLayers =
            try sparseLayers(reader, "encoder", count: encoderCount)
            + sparseLayers(reader, "decoder", count: decoderCount)
        let isTied = try reader.boolIfPresent("tie_word_embeddings") ?? true
        let experts = try readExperts(reader)
        let configuration = ModelConfiguration(
            family: modelType, vocabularySize: vocabularySize, hiddenSize: hiddenSize,
            layerCount: encoderCount + decoderCount, contextLength: contextLength,
            normEpsilon: Float(try reader.number("layer_norm_epsilon")), attention: .relative(try attention(reader)),
            rotary: nil, activation: .relu,
            denseIntermediateSize: sparseLayers.contains(false) ? experts.intermediateSize : 0,
            sparseLayers: sparseLayers, experts: sparseLayers.contains(true) ? experts : nil, beginToken: nil,
            endTokens: try reader.tokens("eos_token_id", below: vocabularySize),
            encoder: .init(
                layerCount: encoderCount,
                startToken: try reader.count("decoder_start_token_id", in: 0...vocabularySize - 1),
                outputScale: isTied ? 1 / Float(hiddenSize).squareRoot() : 1))
        reader.ignore(IgnoredKeys.all + ignoredKeys)
        return FamilyReading(
            configuration: configuration, encoding: try WeightEncoding(reader),
            nameOfTensor: { name(of: $0, encoderCount: encoderCount, isTied: isTied) },
            nameOfExpert: { part, key in
                prefix(key.layer, encoderCount, .feedForward)
                    + "mlp.experts.expert_\(key.expert).\(part == .down ? "wo" : "wi").weight"
            }, skipped: copies(isTied: isTied), hasOneEmbedding: isTied)
    }

    /// Distances have no end, and so no input is too long in itself; this is sixteen times what the models were trained with.
    private static let contextLength = 8192

    /// Training, programs that generate, and what follows from other keys.
    private static let ignoredKeys = [
        "add_router_probs", "bos_token_id", "classifier_dropout", "dropout_rate", "initializer_factor", "n_positions",
        "output_past",
        "router_ignore_padding_tokens", "router_z_loss_coef", "layerdrop",
    ]

    private static func checkFixedKeys(_ reader: ConfigurationReader) throws(CheckpointError) {
        try reader.mustBe("dense_act_fn", .string("relu"))
        try reader.mustBe("feed_forward_proj", .string("relu"))
        try reader.mustBe("is_gated_act", .bool(false))
        try reader.mustBe("router_bias", .bool(false))
        try reader.mustBe("router_dtype", .string("float32"))
        try reader.mustBe("router_type", .string("tokens_masked"))
        try reader.mustBe("batch_prioritized_routing", .bool(false))
        try reader.mustBe("num_selected_experts", .integer(1))
        try reader.mustBe("add_cross_attention", .bool(false))
    }

    private static func attention(
        _ reader: ConfigurationReader
    ) throws(CheckpointError) -> ModelConfiguration.RelativeAttention {
        let bucketCount = try reader.count("relative_attention_num_buckets", in: 4...1 << 12)
        return .init(
            headCount: try reader.count("num_heads", in: 1...1 << 12),
            headSize: try reader.count("d_kv", in: 1...1 << 13),
            bucketCount: bucketCount,
            greatestDistance: try reader.count("relative_attention_max_distance", in: bucketCount...1 << 16))
    }

    /// Every so many layers one is sparse, the second first; all are if every one is to be.
    private static func sparseLayers(
        _ reader: ConfigurationReader, _ stack: String, count: Int
    ) throws(CheckpointError) -> [Bool] {
        let wanted = try reader.countIfPresent("num_sparse_\(stack)_layers", in: 0...count)
        // Written out it says the same, and is what the reference goes by.
        let step =
            try reader.countIfPresent("\(stack)_sparse_step", in: 0...4096)
            ?? wanted.map { $0 > 0 ? count / $0 : count } ?? 0
        guard wanted != nil || step > 0 else {
            throw reader.failure("\(stack)_sparse_step", "neither this nor num_sparse_\(stack)_layers is there")
        }
        return (0..<count).map { step > 0 && (step == 1 || $0 % step == 1) }
    }

    private static func readExperts(
        _ reader: ConfigurationReader
    ) throws(CheckpointError) -> ModelConfiguration.Experts {
        var router = ModelConfiguration.Router.softmax(normalizesWeights: false)
        router.capacity = try reader.count("expert_capacity", in: 1...1 << 30)
        return .init(
            routedExpertCount: try reader.count("num_experts", in: 1...1 << 16), expertsPerToken: 1,
            intermediateSize: try reader.count("d_ff", in: 1...1 << 20), sharedIntermediateSize: 0, router: router)
    }

    /// What a layer consists of; attention to the encoder's states stands between the others in the decoder.
    private enum Part: Int {
        case attention = 0
        case cross = 1
        case feedForward = 2
    }

    private static func prefix(_ layer: Int, _ encoderCount: Int, _ part: Part) -> String {
        let isEncoding = layer < encoderCount
        let place = isEncoding && part == .feedForward ? 1 : part.rawValue
        return
            "\(isEncoding ? "encoder" : "decoder").block.\(isEncoding ? layer : layer - encoderCount).layer.\(place)."
    }

    private static func name(of key: TensorKey, encoderCount: Int, isTied: Bool) -> String {
        guard let layer = key.layer else {
            return switch key.role {
            case .outputNorm: "decoder.final_layer_norm.weight"
            case .outputHead: isTied ? sharedEmbedding : "lm_head.weight"
            case .encoderNorm: "encoder.final_layer_norm.weight"
            case .encoderPositionBias: "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
            case .encoderEmbedding: encoderEmbedding
            case .positionBias: "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
            default: sharedEmbedding
            }
        }
        let (part, name): (Part, String) =
            switch key.role {
            case .attentionNorm: (.attention, "layer_norm")
            case .query: (.attention, "SelfAttention.q")
            case .key: (.attention, "SelfAttention.k")
            case .value: (.attention, "SelfAttention.v")
            case .attentionOutput: (.attention, "SelfAttention.o")
            case .crossNorm: (.cross, "layer_norm")
            case .crossQuery: (.cross, "EncDecAttention.q")
            case .crossKey: (.cross, "EncDecAttention.k")
            case .crossValue: (.cross, "EncDecAttention.v")
            case .crossOutput: (.cross, "EncDecAttention.o")
            case .feedForwardNorm: (.feedForward, "layer_norm")
            case .router: (.feedForward, "mlp.router.classifier")
            case .denseDown: (.feedForward, "mlp.wo")
            default: (.feedForward, "mlp.wi")
            }
        return prefix(layer, encoderCount, part) + name + ".weight"
    }

    static let encoderEmbedding = "encoder.embed_tokens.weight"
    static let decoderEmbedding = "decoder.embed_tokens.weight"
    static let sharedEmbedding = "shared.weight"

    /// The one embedding under its other names, and a bias that attention to the encoder's states doesn't have.
    private static func copies(isTied: Bool) -> [SkippedSource] {
        let embedding = [encoderEmbedding, decoderEmbedding] + (isTied ? ["lm_head.weight"] : [])
        return embedding.map { SkippedSource(prefix: $0, reason: "copies of the embedding") }
            + [
                SkippedSource(
                    prefix: "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.",
                    reason: "a bias that nothing reads")
            ]
    }
}

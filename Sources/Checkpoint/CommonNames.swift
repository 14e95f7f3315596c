import Container

/// The names that most checkpoints give their tensors: Llama's, and what DeepSeek added for latents and experts.
enum CommonNames {
    /// The checkpoint's name of a resident tensor.
    static func name(of key: TensorKey, sharesEmbedding: Bool) -> String {
        let prefix = key.layer.map(prefix(ofLayer:)) ?? "model."
        return switch key.role {
        case .tokenEmbedding: "model.embed_tokens.weight"
        case .outputNorm: "model.norm.weight"
        case .outputHead: sharesEmbedding ? "model.embed_tokens.weight" : "lm_head.weight"
        case .attentionNorm: prefix + "input_layernorm.weight"
        case .query: prefix + "self_attn.q_proj.weight"
        case .queryDown: prefix + "self_attn.q_a_proj.weight"
        case .queryLatentNorm: prefix + "self_attn.q_a_layernorm.weight"
        case .queryUp: prefix + "self_attn.q_b_proj.weight"
        case .keyValueDown: prefix + "self_attn.kv_a_proj_with_mqa.weight"
        case .keyValueLatentNorm: prefix + "self_attn.kv_a_layernorm.weight"
        case .keyValueUp: prefix + "self_attn.kv_b_proj.weight"
        case .attentionOutput: prefix + "self_attn.o_proj.weight"
        case .key: prefix + "self_attn.k_proj.weight"
        case .value: prefix + "self_attn.v_proj.weight"
        case .queryBias: prefix + "self_attn.q_proj.bias"
        case .keyBias: prefix + "self_attn.k_proj.bias"
        case .valueBias: prefix + "self_attn.v_proj.bias"
        case .queryNorm: prefix + "self_attn.q_norm.weight"
        case .keyNorm: prefix + "self_attn.k_norm.weight"
        case .attentionOutputBias: prefix + "self_attn.o_proj.bias"
        case .sinks: prefix + "self_attn.sinks"
        case .feedForwardNorm: prefix + "post_attention_layernorm.weight"
        case .denseGate: prefix + "mlp.gate_proj.weight"
        case .denseUp: prefix + "mlp.up_proj.weight"
        case .denseDown: prefix + "mlp.down_proj.weight"
        case .router: prefix + "mlp.gate.weight"
        case .routerBias: prefix + "mlp.gate.e_score_correction_bias"
        case .sharedGate: prefix + "mlp.shared_experts.gate_proj.weight"
        case .sharedUp: prefix + "mlp.shared_experts.up_proj.weight"
        case .sharedDown: prefix + "mlp.shared_experts.down_proj.weight"
        case .routerLogitBias: prefix + "mlp.router.bias"
        case .expertGateBias, .expertUpBias: prefix + "mlp.experts.gate_up_proj_bias"
        case .expertDownBias: prefix + "mlp.experts.down_proj_bias"
        case .predictionEmbeddingNorm: prefix + "enorm.weight"
        case .predictionHiddenNorm: prefix + "hnorm.weight"
        case .predictionProjection: prefix + "eh_proj.weight"
        case .predictionOutputNorm: prefix + "shared_head.norm.weight"
        case .predictionEmbedding: prefix + "embed_tokens.weight"
        case .predictionHead: prefix + "shared_head.head.weight"
        case .encoderNorm, .encoderPositionBias, .positionBias, .crossNorm, .crossQuery, .crossKey, .crossValue,
            .crossOutput, .encoderEmbedding:
            // No decoder has these.
            key.description
        }
    }

    static func name(of part: ExpertPart, _ key: ExpertKey) -> String {
        "model.layers.\(key.layer).mlp.experts.\(key.expert).\(part.rawValue)_proj.weight"
    }

    /// The beginning of the names of a layer's tensors.
    static func prefix(ofLayer layer: Int) -> String { "model.layers.\(layer)." }

    static func skipped(sharesEmbedding: Bool) -> [SkippedSource] {
        guard sharesEmbedding else { return [] }
        return [SkippedSource(prefix: "lm_head.weight", reason: "the head (the embedding serves as head)")]
    }
}

/// What a resident tensor is for: the canonical name that every family's tensors are turned into.
///
/// The raw values are part of the `.moe` format. A role of a layer is named `layers.3.attention.output` in messages,
/// one of the model `output.head`.
package enum TensorRole: UInt16, Sendable, CaseIterable {
    // The model's own, one each.
    /// [vocabulary, hidden], row-major.
    case tokenEmbedding = 1
    /// [hidden]
    case outputNorm = 2
    /// [vocabulary, hidden]
    case outputHead = 3
    /// [hidden]: of what the encoder makes, in an encoder-decoder, as are the following.
    case encoderNorm = 4
    /// relative_attention_bias [buckets, heads], row-major, f32.
    case encoderPositionBias = 5
    case positionBias = 6
    /// [vocabulary, hidden], row-major: the encoder's, where it isn't the decoder's.
    case encoderEmbedding = 7

    // One a layer: attention.
    /// [hidden]
    case attentionNorm = 16
    /// q_proj [heads · (plain + rope), hidden], when there is no query latent; grouped: [heads · headSize, hidden].
    case query = 17
    /// q_a_proj [queryLatentRank, hidden]
    case queryDown = 18
    /// [queryLatentRank]
    case queryLatentNorm = 19
    /// q_b_proj [heads · (plain + rope), queryLatentRank]
    case queryUp = 20
    /// kv_a_proj_with_mqa [keyValueLatentRank + rope, hidden]
    case keyValueDown = 21
    /// [keyValueLatentRank]
    case keyValueLatentNorm = 22
    /// kv_b_proj [heads · (plain + value), keyValueLatentRank]; per head the key's rows, then the value's.
    case keyValueUp = 23
    /// o_proj [hidden, heads · value]; grouped: [hidden, heads · headSize]
    case attentionOutput = 24
    /// k_proj, v_proj [keyValueHeads · headSize, hidden], grouped only, as are the following.
    case key = 25
    case value = 26
    /// As many as the matrix has rows.
    case queryBias = 27
    case keyBias = 28
    case valueBias = 29
    /// [headSize], or one for every row of the matrix.
    case queryNorm = 30
    case keyNorm = 31
    /// [hidden]
    case attentionOutputBias = 32
    /// [heads]: scores that take part in the softmax and have no value.
    case sinks = 33

    // One a layer: feed-forward.
    /// [hidden]
    case feedForwardNorm = 48
    /// [denseIntermediate, hidden]
    case denseGate = 49
    case denseUp = 50
    /// [hidden, denseIntermediate]
    case denseDown = 51
    /// [experts, hidden], f32.
    case router = 52
    /// e_score_correction_bias [experts], f32.
    case routerBias = 53
    /// [sharedIntermediate, hidden]
    case sharedGate = 54
    case sharedUp = 55
    /// [hidden, sharedIntermediate]
    case sharedDown = 56
    /// [experts], f32; added to the logits, where `routerBias` is added to the scores.
    case routerLogitBias = 57
    /// [experts, intermediate], f32, row-major: what is added to a routed expert's products with gate and up.
    case expertGateBias = 58
    case expertUpBias = 59
    /// [experts, hidden], f32, row-major
    case expertDownBias = 60

    // One a layer that predicts.
    /// enorm, hnorm [hidden]
    case predictionEmbeddingNorm = 64
    case predictionHiddenNorm = 65
    /// eh_proj [hidden, 2 · hidden]: first the embedding's columns, then the hidden state's.
    case predictionProjection = 66
    /// shared_head.norm [hidden]
    case predictionOutputNorm = 67
    /// [vocabulary, hidden], row-major; only where it isn't the model's own.
    case predictionEmbedding = 68
    /// [vocabulary, hidden]; only where it isn't the model's own.
    case predictionHead = 69

    // One a layer of an encoder-decoder's decoder: attention to what the encoder made.
    /// [hidden]
    case crossNorm = 72
    /// [heads · headSize, hidden]
    case crossQuery = 73
    case crossKey = 74
    case crossValue = 75
    /// [hidden, heads · headSize]
    case crossOutput = 76

    package var isLayered: Bool { rawValue >= 16 }

    package var isBias: Bool {
        switch self {
        case .routerBias, .queryBias, .keyBias, .valueBias, .attentionOutputBias, .routerLogitBias, .expertGateBias,
            .expertUpBias, .expertDownBias, .encoderPositionBias, .positionBias:
            true
        default: false
        }
    }

    /// Whether its rows are looked up.
    package var isEmbedding: Bool {
        self == .tokenEmbedding || self == .encoderEmbedding || self == .predictionEmbedding
    }

    package var name: String {
        switch self {
        case .tokenEmbedding: "token.embedding"
        case .outputNorm: "output.norm"
        case .outputHead: "output.head"
        case .attentionNorm: "attention.norm"
        case .query: "attention.query"
        case .queryDown: "attention.query_down"
        case .queryLatentNorm: "attention.query_norm"
        case .queryUp: "attention.query_up"
        case .keyValueDown: "attention.key_value_down"
        case .keyValueLatentNorm: "attention.key_value_norm"
        case .keyValueUp: "attention.key_value_up"
        case .attentionOutput: "attention.output"
        case .key: "attention.key"
        case .value: "attention.value"
        case .queryBias: "attention.query_bias"
        case .keyBias: "attention.key_bias"
        case .valueBias: "attention.value_bias"
        case .queryNorm: "attention.query_head_norm"
        case .keyNorm: "attention.key_head_norm"
        case .attentionOutputBias: "attention.output_bias"
        case .sinks: "attention.sinks"
        case .feedForwardNorm: "feed_forward.norm"
        case .denseGate: "dense.gate"
        case .denseUp: "dense.up"
        case .denseDown: "dense.down"
        case .router: "router"
        case .routerBias: "router.bias"
        case .sharedGate: "shared.gate"
        case .sharedUp: "shared.up"
        case .sharedDown: "shared.down"
        case .routerLogitBias: "router.logit_bias"
        case .expertGateBias: "expert_biases.gate"
        case .expertUpBias: "expert_biases.up"
        case .expertDownBias: "expert_biases.down"
        case .predictionEmbeddingNorm: "prediction.embedding_norm"
        case .predictionHiddenNorm: "prediction.hidden_norm"
        case .predictionProjection: "prediction.projection"
        case .predictionOutputNorm: "prediction.output_norm"
        case .predictionEmbedding: "prediction.embedding"
        case .predictionHead: "prediction.head"
        case .encoderNorm: "encoder.norm"
        case .encoderPositionBias: "encoder.position_bias"
        case .encoderEmbedding: "encoder.embedding"
        case .positionBias: "position_bias"
        case .crossNorm: "cross_attention.norm"
        case .crossQuery: "cross_attention.query"
        case .crossKey: "cross_attention.key"
        case .crossValue: "cross_attention.value"
        case .crossOutput: "cross_attention.output"
        }
    }
}

/// One resident tensor's place in the model.
package struct TensorKey: Hashable, Sendable, CustomStringConvertible {
    package var role: TensorRole
    /// nil for the model's own tensors.
    package var layer: Int?

    package init(_ role: TensorRole, layer: Int? = nil) {
        self.role = role
        self.layer = layer
    }

    package var description: String { layer.map { "layers.\($0).\(role.name)" } ?? role.name }
}

/// One routed expert's place in the model.
package struct ExpertKey: Hashable, Sendable, CustomStringConvertible {
    package var layer: Int
    package var expert: Int

    package init(layer: Int, expert: Int) {
        self.layer = layer
        self.expert = expert
    }

    package var description: String { "layers.\(layer).experts.\(expert)" }
}

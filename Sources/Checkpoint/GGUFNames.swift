import Container

/// The names that GGUF files give a model's tensors.
enum GGUFNames {
    /// Behind `blk.LAYER.` where a role is a layer's.
    static let common: [TensorRole: String] = [
        .tokenEmbedding: "token_embd.weight", .outputNorm: "output_norm.weight", .outputHead: "output.weight",
        .attentionNorm: "attn_norm.weight", .query: "attn_q.weight", .queryDown: "attn_q_a.weight",
        .queryLatentNorm: "attn_q_a_norm.weight", .queryUp: "attn_q_b.weight", .keyValueDown: "attn_kv_a_mqa.weight",
        .keyValueLatentNorm: "attn_kv_a_norm.weight", .keyValueUp: "attn_kv_b.weight",
        .attentionOutput: "attn_output.weight", .key: "attn_k.weight", .value: "attn_v.weight",
        .queryBias: "attn_q.bias", .keyBias: "attn_k.bias", .valueBias: "attn_v.bias",
        .attentionOutputBias: "attn_output.bias", .sinks: "attn_sinks.weight",
        .queryNorm: "attn_q_norm.weight", .keyNorm: "attn_k_norm.weight", .feedForwardNorm: "ffn_norm.weight",
        .denseGate: "ffn_gate.weight", .denseUp: "ffn_up.weight", .denseDown: "ffn_down.weight",
        .router: "ffn_gate_inp.weight", .routerBias: "exp_probs_b.bias", .sharedGate: "ffn_gate_shexp.weight",
        .sharedUp: "ffn_up_shexp.weight", .sharedDown: "ffn_down_shexp.weight",
        .routerLogitBias: "ffn_gate_inp.bias", .expertGateBias: "ffn_gate_exps.bias",
        .expertUpBias: "ffn_up_exps.bias", .expertDownBias: "ffn_down_exps.bias",
        .predictionEmbeddingNorm: "nextn.enorm.weight", .predictionHiddenNorm: "nextn.hnorm.weight",
        .predictionProjection: "nextn.eh_proj.weight", .predictionOutputNorm: "nextn.shared_head_norm.weight",
        .predictionEmbedding: "nextn.embed_tokens.weight", .predictionHead: "nextn.shared_head_head.weight",
    ]

    static let embedding = "token_embd.weight"
    static let head = "output.weight"
    /// Factors that the rotary embedding's frequencies are divided by.
    static let frequencyFactors = "rope_freqs.weight"

    static func prefix(ofLayer layer: Int) -> String { "blk.\(layer)." }

    /// One expert's matrix, as the oldest files call it; in all others it is a part of a layer's stack.
    static func name(of part: ExpertPart, _ key: ExpertKey) -> String {
        "\(prefix(ofLayer: key.layer))ffn_\(part.rawValue).\(key.expert).weight"
    }

    /// What `name(of:_:)` was made from.
    static func expert(named name: String) -> (part: ExpertPart, key: ExpertKey)? {
        let words = name.split(separator: ".", omittingEmptySubsequences: false)
        guard words.count == 5, words[0] == "blk", let layer = Int(words[1]), words[2].hasPrefix("ffn_"),
            let part = ExpertPart(rawValue: String(words[2].dropFirst(4))), let expert = Int(words[3])
        else { return nil }
        return (part, ExpertKey(layer: layer, expert: expert))
    }
}

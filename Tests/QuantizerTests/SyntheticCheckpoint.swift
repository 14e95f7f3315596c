import Checkpoint
import Container
import Glibc
import TestSupport

/// A checkpoint of any shape with noise for weights, written faster than a converter can read it: its values repeat
/// one page of random ones.
struct SyntheticCheckpoint {
    var hiddenSize = 64
    var layerCount = 2
    var denseLayerCount = 1
    var expertCount = 8
    var expertWidth = 32
    var vocabularySize = 128
    var keyValueRank = 32
    /// Weights of −1/64, 0 and 1/64 only.
    var isTernary = false

    private var configuration: String {
        """
        {"model_type": "deepseek_v3", "vocab_size": \(vocabularySize), "hidden_size": \(hiddenSize),
         "num_hidden_layers": \(layerCount), "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
         "num_attention_heads": 2, "num_key_value_heads": 2, "q_lora_rank": null, "kv_lora_rank": \(keyValueRank),
         "qk_nope_head_dim": 16, "qk_rope_head_dim": 16, "v_head_dim": 16, "rope_theta": 10000,
         "intermediate_size": 96, "first_k_dense_replace": \(denseLayerCount), "n_routed_experts": \(expertCount),
         "num_experts_per_tok": 2, "moe_intermediate_size": \(expertWidth), "n_shared_experts": 1, "n_group": 1,
         "topk_group": 1, "norm_topk_prob": true, "routed_scaling_factor": 1.0, "bos_token_id": 0, "eos_token_id": 1}
        """
    }

    private var tensors: [(name: String, shape: [Int])] {
        let hidden = hiddenSize
        var tensors = [("model.embed_tokens.weight", [vocabularySize, hidden]), ("model.norm.weight", [hidden])]
        tensors.append(("lm_head.weight", [vocabularySize, hidden]))
        for layer in 0..<layerCount {
            let prefix = "model.layers.\(layer)."
            let attention = prefix + "self_attn."
            tensors += [
                (prefix + "input_layernorm.weight", [hidden]), (prefix + "post_attention_layernorm.weight", [hidden]),
                (attention + "q_proj.weight", [64, hidden]), (attention + "kv_a_layernorm.weight", [keyValueRank]),
                (attention + "kv_a_proj_with_mqa.weight", [keyValueRank + 16, hidden]),
                (attention + "kv_b_proj.weight", [64, keyValueRank]), (attention + "o_proj.weight", [hidden, 32]),
            ]
            guard layer >= denseLayerCount else {
                tensors += mlp(prefix + "mlp.", 96)
                continue
            }
            tensors += [
                (prefix + "mlp.gate.weight", [expertCount, hidden]),
                (prefix + "mlp.gate.e_score_correction_bias", [expertCount]),
            ]
            tensors += mlp(prefix + "mlp.shared_experts.", expertWidth)
            for expert in 0..<expertCount { tensors += mlp(prefix + "mlp.experts.\(expert).", expertWidth) }
        }
        return tensors
    }

    private func mlp(_ prefix: String, _ width: Int) -> [(String, [Int])] {
        [
            (prefix + "gate_proj.weight", [width, hiddenSize]), (prefix + "up_proj.weight", [width, hiddenSize]),
            (prefix + "down_proj.weight", [hiddenSize, width]),
        ]
    }

    /// Bytes of the largest tensor.
    var largestByteCount: Int { tensors.map { $0.shape.reduce(2, *) }.max() ?? 0 }

    /// Writes `config.json` and `model.safetensors`, all bf16.
    ///
    /// - Returns: bytes of the weights.
    @discardableResult func write(to directory: String) throws -> Int {
        var json = "{"
        var offset = 0
        for (name, shape) in tensors {
            let end = offset + shape.reduce(2, *)
            json += json.utf8.count > 1 ? "," : ""
            json += "\"\(name)\":{\"dtype\":\"BF16\",\"shape\":\(shape),\"data_offsets\":[\(offset),\(end)]}"
            offset = end
        }
        json += "}"
        let header = (0..<8).map { UInt8(truncatingIfNeeded: json.utf8.count >> ($0 * 8)) } + Array(json.utf8)
        try write("\(directory)/config.json", Array(configuration.utf8))
        try write("\(directory)/model.safetensors", header, noiseByteCount: offset)
        return offset
    }

    private func write(_ path: String, _ start: [UInt8], noiseByteCount: Int = 0) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw SystemCallFailure(call: "open", code: errno) }
        defer { close(descriptor) }
        try write(start[...], to: descriptor)
        // An odd length, so that no two rows begin alike.
        let count = min(noiseByteCount / 2, (1 << 19) + 5)
        let page = isTernary ? Noise.ternaryBF16(count: count) : Noise.bf16(count: count)
        var left = noiseByteCount
        while left > 0 {
            let part = page.prefix(left)
            try write(part, to: descriptor)
            left -= part.count
        }
    }

    private func write(_ bytes: ArraySlice<UInt8>, to descriptor: CInt) throws {
        var bytes = bytes
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { throw SystemCallFailure(call: "write", code: errno) }
            bytes = bytes.dropFirst(count)
        }
    }
}

/// Random numbers that are the same every time.
enum Noise {
    /// Normal values with a standard deviation of 0.02 (Box and Muller 1958).
    static func floats(count: Int, seed: UInt64 = 1) -> [Float] {
        var state = seed
        func uniform() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (Double(state >> 40) + 0.5) / Double(1 << 24)
        }
        return (0..<count).map { _ in Float(0.02 * (-2 * log(uniform())).squareRoot() * cos(2 * .pi * uniform())) }
    }

    static func ternaryBF16(count: Int) -> [UInt8] {
        floats(count: count).flatMap { value -> [UInt8] in
            abs(value) < 0.01 ? [0, 0] : [0x80, value < 0 ? 0xBC : 0x3C]
        }
    }

    static func bf16(count: Int) -> [UInt8] {
        floats(count: count).flatMap { value in
            let bits = UInt16(value.bitPattern >> 16)
            return [UInt8(truncatingIfNeeded: bits), UInt8(bits >> 8)]
        }
    }
}

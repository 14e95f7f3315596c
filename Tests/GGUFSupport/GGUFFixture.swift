import Checkpoint
import FoundationEssentials
import JSON
import TestSupport

/// A small checkpoint in the form that llama.cpp's converter gives it: its names, stacks of experts, keys and values of
/// latent attention apart, the rows of queries and keys in another order, gate and up that took turns apart, and the metadata.
package struct GGUFFixture {
    package var image = GGUFImage()
    private let configuration: JSONValue
    private let architecture: String
    private let type: BlockWriting

    /// The checkpoints that this can write.
    package static let names = [
        "deepseek-v1", "deepseek-v2", "deepseek-v2-lite", "deepseek-v3", "dots1", "glm4-moe", "glm4-moe-lite",
        "gpt-oss", "gpt-oss-mxfp4", "llama", "mixtral", "moonlight", "olmoe", "qwen3", "qwen3-moe",
    ]

    package init(_ name: String, _ type: BlockWriting) throws {
        try self.init(directory: Fixtures.checkpoint(name), type)
    }

    /// - Parameter type: of the matrices; norms, biases and routers are F32, and MXFP4 stays what it is.
    package init(directory: String, _ type: BlockWriting) throws {
        self.type = type
        configuration = try JSONValue(
            parsing: [UInt8](try Data(contentsOf: URL(filePath: "\(directory)/config.json"))),
            limits: JSONLimits(byteCount: 1 << 20))
        architecture =
            switch configuration["model_type"]?.string {
            case "mixtral": "llama"
            case "deepseek_v2", "deepseek_v3", "glm4_moe_lite": "deepseek2"
            case "qwen3_moe": "qwen3moe"
            case "glm4_moe": "glm4moe"
            case "gpt_oss": "gpt-oss"
            case let other: other ?? ""
            }
        addMetadata()
        var floats: [String: (shape: [Int], values: [Float])] = [:]
        for file in try FileManager.default.contentsOfDirectory(atPath: directory)
        where file.hasPrefix("model") && file.hasSuffix(".safetensors") {
            let file = try SafetensorsFile(path: "\(directory)/\(file)")
            for tensor in file.header.tensors where tensor.element != .u8 {
                floats[tensor.name] = (tensor.shape, try file.floats(of: tensor))
            }
            try addMicroscaled(file)
        }
        for (name, tensor) in floats.sorted(by: { $0.key < $1.key }) where expert(name) == nil {
            add(name, tensor.shape, tensor.values)
        }
        addStacks(floats)
    }

    private func integer(_ name: String) -> Int? { configuration[name]?.integer }

    // MARK: Tensors

    private static let layerNames = [
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "self_attn.q_a_proj": "attn_q_a",
        "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b",
        "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.kv_a_layernorm": "attn_kv_a_norm",
        "self_attn.kv_b_proj": "attn_kv_b", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp", "block_sparse_moe.gate": "ffn_gate_inp",
        "mlp.shared_experts.gate_proj": "ffn_gate_shexp", "mlp.shared_experts.up_proj": "ffn_up_shexp",
        "mlp.shared_experts.down_proj": "ffn_down_shexp", "mlp.router": "ffn_gate_inp", "enorm": "nextn.enorm",
        "hnorm": "nextn.hnorm", "eh_proj": "nextn.eh_proj", "shared_head.norm": "nextn.shared_head_norm",
        "embed_tokens": "nextn.embed_tokens", "shared_head.head": "nextn.shared_head_head",
    ]

    private mutating func add(_ name: String, _ shape: [Int], _ values: [Float]) {
        switch name {
        case "model.embed_tokens.weight": return put("token_embd.weight", shape, values)
        case "model.norm.weight": return put("output_norm.weight", shape, values)
        case "lm_head.weight": return put("output.weight", shape, values)
        default: break
        }
        let words = name.split(separator: ".").map(String.init)
        let layer = "blk.\(words[2])."
        let suffix = words[words.count - 1]
        let inner = words[3..<words.count - 1].joined(separator: ".")
        if suffix == "e_score_correction_bias" { return put(layer + "exp_probs_b.bias", shape, values) }
        if inner == "self_attn.kv_b_proj" { return addSplit(layer, values) }
        if suffix == "sinks" { return put(layer + "attn_sinks.weight", shape, values) }
        if inner == "mlp.experts" { return addFused(layer, suffix, shape, values) }
        var values = values
        let alternates = ["llama", "deepseek"].contains(architecture)
        if alternates, inner == "self_attn.q_proj" || inner == "self_attn.k_proj" {
            values = alternating(values, columns: shape[1])
        }
        var target = Self.layerNames[inner] ?? inner
        if ["glm4moe", "gpt-oss"].contains(architecture), target == "ffn_norm" { target = "post_attention_norm" }
        put("\(layer)\(target).\(suffix)", shape, values)
    }

    mutating func put(_ name: String, _ shape: [Int], _ values: [Float]) {
        let isFloat =
            shape.count == 1 || name.contains("_norm.") || name.contains("gate_inp") || name.hasSuffix(".bias")
        let kind = isFloat ? BlockWriting.f32 : type
        image.tensors.append(
            .init(
                name: name, dimensions: shape.reversed(), kind: kind.rawValue, bytes: kind.bytes(values)))
    }

    /// Rows of a head in the order 0, d/2, 1, d/2 + 1, …
    private func alternating(_ values: [Float], columns: Int) -> [Float] {
        let head = (integer("head_dim") ?? (integer("hidden_size") ?? 0) / (integer("num_attention_heads") ?? 1))
        return (0..<values.count / columns).flatMap { row in
            let source = row / head * head + row % head % 2 * (head / 2) + row % head / 2
            return values[source * columns..<(source + 1) * columns]
        }
    }

    private mutating func addSplit(_ layer: String, _ values: [Float]) {
        let heads = integer("num_attention_heads") ?? 0
        let (plain, value) = (integer("qk_nope_head_dim") ?? 0, integer("v_head_dim") ?? 0)
        let latent = integer("kv_lora_rank") ?? 0
        func element(_ head: Int, _ row: Int, _ column: Int) -> Float {
            values[(head * (plain + value) + row) * latent + column]
        }
        let keys = (0..<heads).flatMap { head in
            (0..<latent).flatMap { column in (0..<plain).map { element(head, $0, column) } }
        }
        let rest = (0..<heads).flatMap { head in
            (plain..<plain + value).flatMap { row in (0..<latent).map { element(head, row, $0) } }
        }
        // The rows of keys are as short as a head is, which no block may be.
        let keyType = type.rawValue == 2 || type.rawValue == 8 || type.rawValue == 20 ? BlockWriting.f16 : type
        image.tensors.append(
            .init(
                name: layer + "attn_k_b.weight", dimensions: [plain, latent, heads], kind: keyType.rawValue,
                bytes: keyType.bytes(keys)))
        put(layer + "attn_v_b.weight", [heads, value, latent], rest)
    }

    private func expert(_ name: String) -> (layer: Int, expert: Int, part: String)? {
        let words = name.split(separator: ".").map(String.init)
        guard words.count == 8, words[4] == "experts", let layer = Int(words[2]), let expert = Int(words[5]) else {
            return nil
        }
        let parts = ["w1": "gate", "w2": "down", "w3": "up"]
        return (layer, expert, parts[words[6]] ?? String(words[6].prefix { $0 != "_" }))
    }

    private mutating func addStacks(_ floats: [String: (shape: [Int], values: [Float])]) {
        var stacks: [String: [Int: (shape: [Int], values: [Float])]] = [:]
        for (name, tensor) in floats {
            guard let (layer, number, part) = expert(name) else { continue }
            stacks["blk.\(layer).ffn_\(part)_exps.weight", default: [:]][number] = tensor
        }
        for (name, experts) in stacks.sorted(by: { $0.key < $1.key }) {
            let all = experts.sorted { $0.key < $1.key }.map(\.value)
            put(name, [all.count] + all[0].shape, all.flatMap(\.values))
        }
    }

    // MARK: Metadata

    private mutating func addMetadata() {
        image["general.architecture"] = .text(architecture)
        image["general.type"] = .text("model")
        image["general.name"] = .text("a test's")
        set("block_count", (integer("num_hidden_layers") ?? 0) + (integer("num_nextn_predict_layers") ?? 0))
        for (key, name) in [
            ("context_length", "max_position_embeddings"), ("embedding_length", "hidden_size"),
            ("feed_forward_length", "intermediate_size"), ("attention.head_count", "num_attention_heads"),
            ("expert_used_count", "num_experts_per_tok"), ("expert_shared_count", "n_shared_experts"),
            ("expert_feed_forward_length", "moe_intermediate_size"), ("expert_group_count", "n_group"),
            ("expert_group_used_count", "topk_group"), ("leading_dense_block_count", "first_k_dense_replace"),
            ("attention.q_lora_rank", "q_lora_rank"), ("attention.kv_lora_rank", "kv_lora_rank"),
            ("nextn_predict_layers", "num_nextn_predict_layers"), ("attention.key_length", "head_dim"),
            ("attention.value_length", "head_dim"), ("expert_count", "n_routed_experts"),
            ("expert_count", "num_experts"), ("expert_count", "num_local_experts"),
        ] {
            if let value = integer(name) { set(key, value) }
        }
        if architecture != "deepseek2", architecture != "glm4moe" { set("nextn_predict_layers", nil) }
        if architecture == "deepseek2", integer("num_nextn_predict_layers") == 0 { set("nextn_predict_layers", nil) }
        if architecture == "gpt-oss" {
            set("expert_feed_forward_length", integer("intermediate_size"))
            set("attention.sliding_window", integer("sliding_window"))
        }
        image["\(architecture).attention.layer_norm_rms_epsilon"] = float("rms_norm_eps")
        addRotary()
        addAttention()
        addRouter()
        image["tokenizer.ggml.model"] = .text("none")
        if configuration["model_type"]?.string == "glm4_moe_lite" { image["tokenizer.ggml.pre"] = .text("glm4") }
        image["tokenizer.ggml.bos_token_id"] = .uint32(0)
        image["tokenizer.ggml.eos_token_id"] = .uint32(1)
    }

    private mutating func set(_ key: String, _ value: Int?) {
        image["\(architecture).\(key)"] = value.map { .uint32(UInt32($0)) }
    }

    private func float(_ name: String, in object: JSONValue? = nil) -> GGUFImage.Value? {
        (object ?? configuration)[name]?.number.map { .float32(Float($0)) }
    }

    private mutating func addRotary() {
        let parameters = configuration["rope_parameters"]
        image["\(architecture).rope.freq_base"] = float("rope_theta", in: parameters) ?? float("rope_theta")
        let head = integer("head_dim") ?? (integer("hidden_size") ?? 0) / (integer("num_attention_heads") ?? 1)
        let factor = parameters?["partial_rotary_factor"]?.number ?? 1
        set("rope.dimension_count", integer("qk_rope_head_dim") ?? Int(Double(head) * factor))
        guard let scaling = configuration["rope_scaling"] ?? parameters else { return }
        let prefix = "\(architecture).rope.scaling"
        let kind = scaling["type"]?.string ?? scaling["rope_type"]?.string
        if kind == "linear" {
            image["\(prefix).type"] = .text("linear")
            image["\(prefix).factor"] = float("factor", in: scaling)
        }
        guard kind == "yarn" else { return }
        image["\(prefix).type"] = .text("yarn")
        image["\(prefix).factor"] = float("factor", in: scaling)
        image["\(prefix).yarn_beta_fast"] = float("beta_fast", in: scaling)
        image["\(prefix).yarn_beta_slow"] = float("beta_slow", in: scaling)
        set("rope.scaling.original_context_length", scaling["original_max_position_embeddings"]?.integer)
        image["\(prefix).yarn_log_multiplier"] =
            scaling["mscale_all_dim"]?.number.map { .float32(Float(0.1 * $0)) }
    }

    private mutating func addAttention() {
        set("attention.head_count_kv", integer("num_key_value_heads"))
        guard let latent = integer("kv_lora_rank"), let rotated = integer("qk_rope_head_dim") else { return }
        set("attention.head_count_kv", 1)
        set("attention.key_length", latent + rotated)
        set("attention.value_length", latent)
        set("attention.key_length_mla", (integer("qk_nope_head_dim") ?? 0) + rotated)
        set("attention.value_length_mla", integer("v_head_dim"))
    }

    private mutating func addRouter() {
        let isGLM = configuration["model_type"]?.string?.hasPrefix("glm4_moe") == true
        let isSigmoid = configuration["scoring_func"]?.string == "sigmoid" || isGLM
        if isSigmoid || configuration["scoring_func"] != nil { set("expert_gating_func", isSigmoid ? 2 : 1) }
        if ["deepseek2", "dots1", "glm4moe"].contains(architecture) {
            image["\(architecture).expert_weights_scale"] = float("routed_scaling_factor")
            if configuration["norm_topk_prob"] == .bool(true) {
                image["\(architecture).expert_weights_norm"] = .bool(true)
            }
        }
    }
}

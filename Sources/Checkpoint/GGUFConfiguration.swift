import JSON

/// Turns a GGUF file's metadata into the `config.json` that the model's family reads.
///
/// What `ConfigurationReader` does for the one it does for the other: a key that nobody asked for is an error.
struct GGUFConfiguration {
    let model: GGUFModel
    /// The architecture's keys, without its name.
    let keys: ConfigurationReader
    private var members: [JSONValue.Member] = []
    /// The key that each member came from.
    private var origins: [String: String] = [:]
    /// What a person should know, each a sentence.
    var warnings: [String] = []
    /// Whether YaRN's ramp isn't rounded to whole pairs.
    var hasExactRamp = false

    init(_ model: GGUFModel, architecture: String) throws(CheckpointError) {
        self.model = model
        let prefix = architecture + "."
        let own = model.values.filter { $0.key.hasPrefix(prefix) }.map { key, value in
            JSONValue.Member(name: String(key.dropFirst(prefix.count)), value: value.json ?? .string("a list"))
        }
        keys = try ConfigurationReader(.object(own), path: model.path, prefix: prefix)
    }

    var json: JSONValue { .object(members) }

    mutating func set(_ name: String, _ value: JSONValue, from key: String? = nil) {
        members.append(.init(name: name, value: value))
        origins[name] = key
    }

    /// - Parameter absent: what a file that doesn't have the key means.
    mutating func copy(_ key: String, to name: String, absent: JSONValue? = nil) {
        guard let value = keys.take(key) ?? absent else { return }
        set(name, value, from: keys.path(of: key))
    }

    mutating func copy(_ names: KeyValuePairs<String, String>) {
        for (key, name) in names { copy(key, to: name) }
    }

    func has(_ tensor: String) -> Bool { model.entries[tensor] != nil }

    /// An error of the family's reader, told by the key that a person finds in the file.
    func translated(_ error: CheckpointError) -> CheckpointError {
        var error = error
        if error.code == .configuration || error.code == .unsupportedFamily, let key = error.key {
            error.key = origins[key] ?? key
        }
        return error
    }
}

/// What all architectures have in common.
extension GGUFConfiguration {
    mutating func readCommon() throws(CheckpointError) {
        let blockCount = try keys.count("block_count", in: 1...4096)
        let predictionLayerCount = try keys.countIfPresent("nextn_predict_layers", in: 0...min(64, blockCount - 1)) ?? 0
        set("num_hidden_layers", .integer(blockCount - predictionLayerCount), from: keys.path(of: "block_count"))
        if predictionLayerCount > 0 { set("num_nextn_predict_layers", .integer(predictionLayerCount)) }
        try readVocabulary()
        copy([
            "context_length": "max_position_embeddings", "embedding_length": "hidden_size",
            "feed_forward_length": "intermediate_size", "attention.head_count": "num_attention_heads",
            "attention.layer_norm_rms_epsilon": "rms_norm_eps",
        ])
    }

    /// What an architecture leaves of how tokens see one another, and the rotary embedding.
    mutating func readPositions() throws(CheckpointError) {
        try readRotary()
        try keys.mustBe("attention.causal", .bool(true))
        try keys.mustBe("attention.sliding_window", .integer(0))
    }

    /// Ends answers with these tokens too, where there are such.
    mutating func endAnswers(with names: [String]) {
        let tokens = model.files[0].texts("tokenizer.ggml.tokens") ?? []
        var ends = json["eos_token_id"]?.array ?? []
        for id in names.compactMap({ tokens.firstIndex(of: $0) }) where !ends.contains(.integer(id)) {
            ends.append(.integer(id))
        }
        members.removeAll { $0.name == "eos_token_id" }
        set("eos_token_id", .array(ends), from: "tokenizer.ggml.eos_token_id")
    }

    private mutating func readVocabulary() throws(CheckpointError) {
        guard let embedding = model.entries[GGUFNames.embedding]?.tensor else {
            throw CheckpointError(
                .missingTensor, "the model needs this tensor, and the file doesn't have it", path: model.path,
                tensor: GGUFNames.embedding, advice: "Is this more than a vocabulary?")
        }
        let vocabularySize = embedding.rowCount
        set("vocab_size", .integer(vocabularySize))
        try keys.mustBe("vocab_size", .integer(vocabularySize))
        set("tie_word_embeddings", .bool(!has(GGUFNames.head)))
        if let begin = model.files[0].integer("tokenizer.ggml.bos_token_id") {
            set("bos_token_id", .integer(begin), from: "tokenizer.ggml.bos_token_id")
        }
        // An answer ends with the text, with a turn, or with a message to a tool.
        var ends: [JSONValue] = []
        for kind in ["eos", "eot", "eom"] {
            guard let end = model.files[0].integer("tokenizer.ggml.\(kind)_token_id") else { continue }
            if !ends.contains(.integer(end)) { ends.append(.integer(end)) }
        }
        if !ends.isEmpty { set("eos_token_id", .array(ends), from: "tokenizer.ggml.eos_token_id") }
    }

    private mutating func readRotary() throws(CheckpointError) {
        copy("rope.freq_base", to: "rope_theta", absent: .integer(10000))
        // How the context was extended; the values that count stand beside it.
        keys.ignore(["rope.scaling.finetuned"])
        let type = try keys.name("rope.scaling.type", accepted: ["none", "linear", "yarn"])
        if type == nil || type == "linear" { try readLinearScaling() }
        try keys.mustBe("rope.scale_linear", .integer(1))
        guard type == "yarn" else { return try keys.mustBe("rope.scaling.factor", .integer(1)) }
        try keys.mustBe("rope.scaling.yarn_ext_factor", .integer(1))
        try keys.mustBe("rope.scaling.attn_factor", .integer(1))
        var scaling: [JSONValue.Member] = [.init(name: "type", value: .string("yarn"))]
        for (key, name) in [
            ("factor", "factor"), ("original_context_length", "original_max_position_embeddings"),
            ("yarn_beta_fast", "beta_fast"), ("yarn_beta_slow", "beta_slow"), ("yarn_attn_factor", "attention_factor"),
        ] {
            guard let value = keys.take("rope.scaling.\(key)") else { continue }
            scaling.append(.init(name: name, value: value))
            origins["rope_scaling.\(name)"] = keys.path(of: "rope.scaling.\(key)")
        }
        // A tenth of mscale_all_dim, which all released models have for mscale too.
        if let multiplier = try keys.numberIfPresent("rope.scaling.yarn_log_multiplier", orZero: true) {
            for name in ["mscale", "mscale_all_dim"] {
                scaling.append(.init(name: name, value: .number(multiplier * 10)))
            }
        }
        if hasExactRamp { scaling.append(.init(name: "truncate", value: .bool(false))) }
        set("rope_scaling", .object(scaling))
    }

    /// A factor alone means it, as does the key that older files have.
    private mutating func readLinearScaling() throws(CheckpointError) {
        let key = keys.has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear"
        guard let factor = try keys.numberIfPresent(key), factor != 1 else { return }
        set("rope_scaling", ["type": "linear", "factor": .number(factor)])
        origins["rope_scaling.factor"] = keys.path(of: key)
    }

    /// Attention whose heads share keys and values in groups.
    ///
    /// - Parameter takesPartialRotation: whether the family's heads may be rotated in part.
    mutating func readGrouped(takesPartialRotation: Bool = false) throws(CheckpointError) {
        copy(["attention.head_count_kv": "num_key_value_heads"])
        let rotated = try keys.countIfPresent("rope.dimension_count", in: 2...1 << 13)
        let size = try keys.countIfPresent("attention.key_length", in: 2...1 << 13) ?? rotated
        if let size {
            set("head_dim", .integer(size), from: keys.path(of: "attention.key_length"))
            try keys.mustBe("attention.value_length", .integer(size))
        }
        guard let rotated, let size, rotated != size else {
            // Absent, the family's own configuration would mean a part.
            if takesPartialRotation { set("partial_rotary_factor", .integer(1)) }
            return
        }
        let factor = Double(rotated) / Double(size)
        guard takesPartialRotation, Int(Double(size) * factor) == rotated else {
            throw keys.failure(
                "rope.dimension_count", "this value isn't supported", expected: "\(size), a whole head",
                found: .integer(rotated))
        }
        set("partial_rotary_factor", .number(factor), from: keys.path(of: "rope.dimension_count"))
    }
}

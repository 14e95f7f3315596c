import Container

/// One model family: what its `config.json` and its tensor names mean in canonical terms.
protocol Family: Sendable {
    /// The values of `model_type` that it reads.
    static var modelTypes: [String] { get }

    /// Reads every key that it knows; the caller refuses those that are left.
    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading
}

/// What a family makes of a configuration.
struct FamilyReading {
    var configuration: ModelConfiguration
    /// Of weights that aren't plain floats, if there are any.
    var encoding: WeightEncoding?
    /// The checkpoint's name of a resident tensor.
    var nameOfTensor: (TensorKey) -> String
    /// The checkpoint's name of one of a routed expert's matrices.
    var nameOfExpert: (ExpertPart, ExpertKey) -> String
    /// The beginning of the checkpoint's names of a layer's tensors.
    var prefixOfLayer: (Int) -> String = CommonNames.prefix(ofLayer:)
    /// Tensors that may be there and aren't wanted.
    var skipped: [SkippedSource]
    /// Whether an encoder-decoder's embeddings are one, whatever the files have.
    var hasOneEmbedding = true
    /// Layers behind the last one that predict more than one token at once, as the configuration has it.
    var predictionLayerCount = 0
    /// Which part of the tensor of that name a resident tensor is; nil: all of it.
    var partOfTensor: (TensorKey) -> TensorPart? = { _ in nil }
    /// Which part of the tensor of that name an expert's matrix is; nil: all of it.
    var partOfExpert: (ExpertPart, ExpertKey) -> TensorPart? = { _, _ in nil }
}

/// Where a matrix stands in a tensor that holds more: element (r, c) is the tensor's element
/// `first + r · rowStride + c · columnStride`.
struct TensorPart {
    /// Of the whole tensor.
    var shape: [Int]
    var first: Int
    var rowStride: Int
    var columnStride: Int
}

enum ExpertPart: String {
    case gate
    case up
    case down
}

struct SkippedSource {
    /// The beginning of the names.
    var prefix: String
    /// Why, as the summary says it.
    var reason: String
}

enum Families {
    static let all: [any Family.Type] = [
        DeepSeekV1.self, DeepSeekV2.self, DeepSeekV3.self, Qwen3MoE.self, GLM4MoE.self, GLM4MoELite.self, GPTOSS.self,
        Dots1.self, Mixtral.self, OLMoE.self, Qwen3.self, Llama.self, SwitchTransformers.self,
    ]

    /// Families of sparse models that people have and that need other arithmetic, or that nothing is there to check
    /// against.
    static let unsupported = [
        "qwen2_moe": "a gate of its own weighs the shared expert",
        "granitemoe": "constants multiply its embeddings, residuals and logits",
        "granitemoeshared": "constants multiply its embeddings, residuals and logits",
        "granitemoehybrid": "most of its layers are state-space models",
        "lfm2_moe": "most of its layers are short convolutions",
        "hunyuan_v1_moe": "queries and keys are normed after their rotation",
        "bailing_moe": "there is no reference to check it against",
        "bailing_moe_v2": "there is no reference to check it against",
        "bailing_hybrid": "most of its layers have linear attention",
        "deepseek_v32": "an indexer chooses the positions that attention sees",
        "qwen3_next": "most of its layers have linear attention",
        "kimi_linear": "most of its layers have linear attention",
        "minimax": "most of its layers have linear attention",
        "jamba": "most of its layers are state-space models",
        "nemotron_h": "most of its layers are state-space models",
        "phimoe": "its norms have biases, and its router leaves out scores by their distance",
        "dbrx": "its norms take the mean away",
        "llama4": "it sees images, too",
        "qwen3_vl_moe": "it sees images, too",
        "glm4v_moe": "it sees images, too",
        "deepseek_vl_v2": "it sees images, too",
        "kimi_k25": "it sees images, too",
    ]

    static func named(_ modelType: String?, path: String) throws(CheckpointError) -> any Family.Type {
        if let modelType, let family = all.first(where: { $0.modelTypes.contains(modelType) }) { return family }
        let reason = modelType.flatMap { unsupported[$0] }.map { ": \($0)" } ?? ""
        throw CheckpointError(
            .unsupportedFamily, "models of this family aren't supported\(reason)", path: path, key: "model_type",
            expected: all.flatMap { $0.modelTypes }.map { "\"\($0)\"" }.joined(separator: " or "),
            found: modelType.map { "\"\($0.prefix(80))\"" } ?? "no name")
    }
}

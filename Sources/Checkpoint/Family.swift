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
    /// Tensors that may be there and aren't wanted.
    var skipped: [SkippedSource]
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
        DeepSeekV1.self, DeepSeekV2.self, DeepSeekV3.self, Qwen3MoE.self, GLM4MoE.self, Mixtral.self, OLMoE.self,
        Qwen3.self, Llama.self, SwitchTransformers.self,
    ]

    static func named(_ modelType: String?, path: String) throws(CheckpointError) -> any Family.Type {
        if let modelType, let family = all.first(where: { $0.modelTypes.contains(modelType) }) { return family }
        throw CheckpointError(
            .unsupportedFamily, "models of this family aren't supported", path: path, key: "model_type",
            expected: all.flatMap { $0.modelTypes }.map { "\"\($0)\"" }.joined(separator: " or "),
            found: modelType.map { "\"\($0.prefix(80))\"" } ?? "no name")
    }
}

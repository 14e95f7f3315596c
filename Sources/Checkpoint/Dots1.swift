import Container
import JSON

/// dots.llm1: grouped attention with normed heads, routed as DeepSeek-V3 does.
enum Dots1: Family {
    static let modelTypes = ["dots1"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        try reader.mustBe("moe_layer_freq", .integer(1))
        // The published model names the choice's method here; its scores are sigmoids.
        _ = try reader.name("scoring_func", accepted: ["noaux_tc", "sigmoid"])
        return try GroupedDecoder.read(
            reader, modelType: modelType, .init(headNorm: .perHead, windows: .last),
            readFeedForward: GLM4MoE.readFeedForward)
    }
}

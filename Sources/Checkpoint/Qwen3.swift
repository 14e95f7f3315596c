import Container
import JSON

/// Qwen3's dense models: normed heads.
enum Qwen3: Family {
    static let modelTypes = ["qwen3"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        try reader.mustBe("attention_bias", .bool(false))
        // The window is off.
        reader.ignore(["sliding_window", "max_window_layers"])
        return try GroupedDecoder.read(reader, modelType: modelType, headNorm: .perHead) {
            reader, layerCount throws(CheckpointError) in
            try .dense(reader, layerCount: layerCount)
        }
    }
}

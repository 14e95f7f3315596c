import Container
import JSON

/// Llama 2 and its dense successors.
enum Llama: Family {
    static let modelTypes = ["llama"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        // The output's projection would have one too.
        try reader.mustBe("attention_bias", .bool(false))
        return try GroupedDecoder.read(reader, modelType: modelType, headNorm: .none) {
            reader, layerCount throws(CheckpointError) in
            try .dense(reader, layerCount: layerCount)
        }
    }
}

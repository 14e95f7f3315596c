import Container

/// Qwen3's dense models: normed heads.
enum Qwen3: Family {
    static let modelTypes = ["qwen3"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        try GroupedDecoder.read(
            reader, modelType: modelType, .init(headNorm: .perHead, windows: .last, hasWindowsByDefault: false)
        ) {
            reader, layerCount throws(CheckpointError) in
            try .dense(reader, layerCount: layerCount)
        }
    }
}

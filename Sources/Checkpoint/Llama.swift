import Container

/// Llama 2 and its dense successors.
enum Llama: Family {
    static let modelTypes = ["llama"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        // Llama 2 was published before there was a key for theta.
        try GroupedDecoder.read(reader, modelType: modelType, .init(defaultTheta: 10000)) {
            reader, layerCount throws(CheckpointError) in
            try .dense(reader, layerCount: layerCount)
        }
    }
}

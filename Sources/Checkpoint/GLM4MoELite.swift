import Container
import JSON

/// GLM-4.7-Flash: latent attention, routed as DeepSeek-V3 does.
enum GLM4MoELite: Family {
    static let modelTypes = ["glm4_moe_lite"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        // Of the rotary part of a head.
        try reader.mustBe("partial_rotary_factor", .integer(1))
        return try LatentDecoder.read(
            reader, modelType: modelType, readSparseLayers: readSparseLayers, readRouter: DeepSeekV3.readRouter)
    }

    /// Newer configurations say by name what `first_k_dense_replace` says.
    private static func readSparseLayers(
        _ reader: ConfigurationReader, layerCount: Int
    ) throws(CheckpointError) -> [Bool] {
        guard let value = reader.take("mlp_layer_types") else {
            return try LatentDecoder.sparseLayers(reader, layerCount: layerCount)
        }
        let names: [JSONValue] = ["dense", "sparse"]
        guard let types = value.array, types.count == layerCount, types.allSatisfy(names.contains) else {
            throw reader.failure(
                "mlp_layer_types", "this value isn't supported",
                expected: "\(layerCount) times \(names[0]) or \(names[1])", found: value)
        }
        let sparse = types.map { $0 == names[1] }
        guard reader.has("first_k_dense_replace") else { return sparse }
        let counted = try LatentDecoder.sparseLayers(reader, layerCount: layerCount)
        guard sparse == counted else {
            throw reader.failure(
                "mlp_layer_types", "differs from first_k_dense_replace",
                expected: "\(JSONValue.array(counted.map { names[$0 ? 1 : 0] }))", found: value)
        }
        return sparse
    }
}

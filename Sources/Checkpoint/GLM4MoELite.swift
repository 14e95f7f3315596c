import Container
import JSON

/// GLM-4.7-Flash: latent attention, routed as DeepSeek-V3 does.
enum GLM4MoELite: Family {
    static let modelTypes = ["glm4_moe_lite"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        // Of the rotary part of a head.
        try reader.mustBe("partial_rotary_factor", .integer(1))
        let layerTypes = reader.take("mlp_layer_types")
        let reading = try LatentDecoder.read(reader, modelType: modelType, readRouter: DeepSeekV3.readRouter)
        // Newer configurations say by name what first_k_dense_replace says.
        let expected = reading.configuration.sparseLayers.map { JSONValue.string($0 ? "sparse" : "dense") }
        if let layerTypes, layerTypes.array != expected {
            throw reader.failure(
                "mlp_layer_types", "differs from first_k_dense_replace", expected: "\(JSONValue.array(expected))",
                found: layerTypes)
        }
        return reading
    }
}

import Container
import JSON

/// Mixtral: every layer sparse. A softmax over the chosen experts' scores is one over all, made to sum to one.
enum Mixtral: Family {
    static let modelTypes = ["mixtral"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        try reader.mustBe("attention_bias", .bool(false))
        return try GroupedDecoder.read(
            reader, modelType: modelType, .init(windows: .all), nameOfTensor: name, nameOfExpert: name,
            readFeedForward: readFeedForward)
    }

    private static func readFeedForward(
        _ reader: ConfigurationReader, layerCount: Int
    ) throws(CheckpointError) -> GroupedDecoder.FeedForward {
        let count = try reader.count("num_local_experts", in: 1...1 << 16)
        return .init(
            sparseLayers: Array(repeating: true, count: layerCount),
            experts: .init(
                routedExpertCount: count, expertsPerToken: try reader.count("num_experts_per_tok", in: 1...count),
                intermediateSize: try reader.count("intermediate_size", in: 1...1 << 20), sharedIntermediateSize: 0,
                router: .softmax(normalizesWeights: true)))
    }

    private static func name(of key: TensorKey, sharesEmbedding: Bool) -> String {
        guard key.role == .router, let layer = key.layer else {
            return CommonNames.name(of: key, sharesEmbedding: sharesEmbedding)
        }
        return "model.layers.\(layer).block_sparse_moe.gate.weight"
    }

    private static func name(of part: ExpertPart, _ key: ExpertKey) -> String {
        let matrix =
            switch part {
            case .gate: "w1"
            case .up: "w3"
            case .down: "w2"
            }
        return "model.layers.\(key.layer).block_sparse_moe.experts.\(key.expert).\(matrix).weight"
    }
}

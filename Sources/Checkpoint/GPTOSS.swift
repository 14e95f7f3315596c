import Container

/// gpt-oss: biases throughout, attention sinks, a window in every other layer, a clamped activation, and a layer's experts
/// in one tensor a kind, gate and up by turns.
enum GPTOSS: Family {
    static let modelTypes = ["gpt_oss"]

    static func read(_ reader: ConfigurationReader, modelType: String) throws(CheckpointError) -> FamilyReading {
        // Said again in rope_scaling and in num_experts_per_tok.
        reader.ignore(["initial_context_length", "experts_per_token"])
        // Absent, both have the values that the reference implementation gives them.
        let clamp = ModelConfiguration.Clamp(
            slope: Float(try reader.numberIfPresent("swiglu_alpha") ?? 1.702),
            limit: Float(try reader.numberIfPresent("swiglu_limit") ?? 7))
        var reading = try GroupedDecoder.read(
            reader, modelType: modelType, .init(hasBiasByDefault: true, windows: .alternate), nameOfTensor: name,
            nameOfExpert: name, readFeedForward: readFeedForward)
        if case .grouped(var attention) = reading.configuration.attention {
            attention.hasSinks = true
            reading.configuration.attention = .grouped(attention)
        }
        reading.configuration.activation = .clamped
        reading.configuration.clamp = clamp
        guard let experts = reading.configuration.experts else { return reading }
        let (isPacked, hidden) = (reading.encoding == .mxfp4, reading.configuration.hiddenSize)
        reading.partOfTensor = { part(of: $0, experts) }
        reading.partOfExpert = { part(of: $0, $1, experts, hiddenSize: hidden, isTransposed: !isPacked) }
        return reading
    }

    /// The softmax is over the chosen experts' logits, which have a bias.
    private static func readFeedForward(
        _ reader: ConfigurationReader, layerCount: Int
    ) throws(CheckpointError) -> GroupedDecoder.FeedForward {
        let count = try reader.count("num_local_experts", in: 1...1 << 16)
        var router = ModelConfiguration.Router.softmax(normalizesWeights: false)
        router.scoring = .softmaxOfChosen
        router.hasLogitBias = true
        var experts = ModelConfiguration.Experts(
            routedExpertCount: count, expertsPerToken: try reader.count("num_experts_per_tok", in: 1...count),
            intermediateSize: try reader.count("intermediate_size", in: 1...1 << 20), sharedIntermediateSize: 0,
            router: router)
        experts.hasBiases = true
        return .init(sparseLayers: Array(repeating: true, count: layerCount), experts: experts)
    }

    private static func name(of key: TensorKey, sharesEmbedding: Bool) -> String {
        guard key.role == .router, let layer = key.layer else {
            return CommonNames.name(of: key, sharesEmbedding: sharesEmbedding)
        }
        return "model.layers.\(layer).mlp.router.weight"
    }

    private static func name(of part: ExpertPart, _ key: ExpertKey) -> String {
        "model.layers.\(key.layer).mlp.experts.\(part == .down ? "down_proj" : "gate_up_proj")"
    }

    /// Gate's and up's biases: [experts, 2 · intermediate], by turns.
    private static func part(of key: TensorKey, _ experts: ModelConfiguration.Experts) -> TensorPart? {
        guard key.role == .expertGateBias || key.role == .expertUpBias else { return nil }
        let width = 2 * experts.intermediateSize
        return TensorPart(
            shape: [experts.routedExpertCount, width], first: key.role == .expertUpBias ? 1 : 0, rowStride: width,
            columnStride: 2)
    }

    /// [experts, rows, columns], where gate's and up's rows alternate.
    ///
    /// - Parameter isTransposed: [experts, columns, rows], as floats are.
    private static func part(
        of part: ExpertPart, _ key: ExpertKey, _ experts: ModelConfiguration.Experts, hiddenSize: Int,
        isTransposed: Bool
    ) -> TensorPart {
        let isDown = part == .down
        let rows = isDown ? hiddenSize : 2 * experts.intermediateSize
        let columns = isDown ? experts.intermediateSize : hiddenSize
        let (rowStride, columnStride) = isTransposed ? (1, rows) : (columns, 1)
        return TensorPart(
            shape: [experts.routedExpertCount] + (isTransposed ? [columns, rows] : [rows, columns]),
            first: key.expert * rows * columns + (part == .up ? rowStride : 0),
            rowStride: isDown ? rowStride : 2 * rowStride, columnStride: columnStride)
    }
}

import Container

/// Matrices of one purpose, which recipes treat alike.
package enum WeightKind: String, Sendable, CaseIterable {
    case embedding = "token.embedding"
    case head = "output.head"
    case query = "attention.query"
    case queryDown = "attention.query_down"
    case queryUp = "attention.query_up"
    case keyValueDown = "attention.key_value_down"
    case keyValueUp = "attention.key_value_up"
    case keyValue = "attention.{key,value}"
    case attentionOutput = "attention.output"
    case crossAttention = "cross_attention.{query,key,value,output}"
    case denseGateUp = "dense.{gate,up}"
    case denseDown = "dense.down"
    case sharedGateUp = "shared.{gate,up}"
    case sharedDown = "shared.down"
    case expertGateUp = "experts.*.{gate,up}"
    case expertDown = "experts.*.down"

    /// nil for what is never quantised, and for what only prediction has.
    init?(_ role: TensorRole) {
        switch role {
        case .tokenEmbedding: self = .embedding
        case .outputHead: self = .head
        case .query: self = .query
        case .queryDown: self = .queryDown
        case .queryUp: self = .queryUp
        case .keyValueDown: self = .keyValueDown
        case .keyValueUp: self = .keyValueUp
        case .key, .value: self = .keyValue
        case .attentionOutput: self = .attentionOutput
        case .crossQuery, .crossKey, .crossValue, .crossOutput: self = .crossAttention
        case .denseGate, .denseUp: self = .denseGateUp
        case .denseDown: self = .denseDown
        case .sharedGate, .sharedUp: self = .sharedGateUp
        case .sharedDown: self = .sharedDown
        case .outputNorm, .attentionNorm, .queryLatentNorm, .keyValueLatentNorm, .feedForwardNorm, .router,
            .routerBias, .queryBias, .keyBias, .valueBias, .queryNorm, .keyNorm, .attentionOutputBias, .sinks,
            .routerLogitBias, .expertGateBias, .expertUpBias, .expertDownBias, .predictionEmbeddingNorm,
            .predictionHiddenNorm, .predictionOutputNorm, .encoderNorm,
            .encoderPositionBias, .positionBias, .crossNorm:
            return nil
        // Recipes weigh what a token reads, and it reads none of these, or a row once.
        case .encoderEmbedding, .predictionProjection, .predictionEmbedding, .predictionHead: return nil
        }
    }

    package var isLayered: Bool { self != .embedding && self != .head }
    package var isRoutedExpert: Bool { self == .expertGateUp || self == .expertDown }

    /// Into a latent or out of the one that the cache keeps.
    package var isLatentProjection: Bool { self == .queryDown || self == .keyValueDown || self == .keyValueUp }

    /// The pattern of this kind's matrices in some of its layers.
    ///
    /// - Parameter layers: ascending; nil for every layer.
    func pattern(layers: [Int]?) -> String {
        guard isLayered else { return rawValue }
        guard let layers else { return "layers.*.\(rawValue)" }
        var ranges: [ClosedRange<Int>] = []
        for layer in layers {
            if let last = ranges.last, last.upperBound + 1 == layer {
                ranges[ranges.count - 1] = last.lowerBound...layer
            } else {
                ranges.append(layer...layer)
            }
        }
        let parts = ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
        let isPlain = ranges.count == 1 && ranges[0].count == 1
        return "layers.\(isPlain ? parts[0] : "{" + parts.joined(separator: ",") + "}").\(rawValue)"
    }
}

// Measured on a text that nothing is judged by, with `packaging/sensitivities`.
extension WeightKind {
    /// How much 4 bits here cost: mean KL divergence, in thousandths of a nat, of the demonstration model with all
    /// matrices of the kind at int4 against int8, the others in f32.
    ///
    /// By weight, the latents' projections matter most, then what is before the first sparse layer, then shared experts;
    /// a routed expert's `down` matters twice as much as its gate and up.
    package var sensitivity: Double {
        switch self {
        case .embedding: 9.1
        case .head: 5.1
        // The model has a query latent; a direct projection does the work of both halves.
        case .query: 14.2
        case .queryDown: 5.1
        case .queryUp: 9.1
        case .keyValueDown: 10.1
        case .keyValueUp: 9.9
        // The model has none; these hold what a latent's projections do.
        case .keyValue: 9.9
        case .attentionOutput: 5.9
        case .crossAttention: 9.9
        case .denseGateUp: 5.4
        case .denseDown: 6.9
        case .sharedGateUp: 1.8
        case .sharedDown: 1.2
        case .expertGateUp: 6.7
        case .expertDown: 6.2
        }
    }

    /// How much 8 bits here cost: mean KL divergence, in millionths of a nat, with all matrices of the kind and their
    /// inputs at int8 and the others in f32, of the tokens for which every router chooses as in f32. (The others' is a
    /// hundred times as much, and luck.)
    package var fineSensitivity: Double {
        switch self {
        case .embedding: 53
        // Alone it costs 50, but behind the last router it turns no choice, which is what costs most.
        case .head: 5
        case .query: 108
        case .queryDown: 44
        case .queryUp: 64
        case .keyValueDown: 75
        case .keyValueUp: 52
        case .keyValue: 75
        case .attentionOutput: 76
        case .crossAttention: 76
        case .denseGateUp: 43
        case .denseDown: 87
        case .sharedGateUp: 23
        case .sharedDown: 32
        case .expertGateUp: 48
        case .expertDown: 105
        }
    }
}

package import Container

/// An input that one or several matrices share, of which a second-order matrix can be recorded.
package enum HessianKey: Hashable, Sendable, CustomStringConvertible {
    /// What the norm of this name gives, or what goes into the matrix of this name.
    case tensor(TensorKey)
    case expert(ExpertKey, ImportanceMatrix.ExpertInput)

    package var description: String {
        switch self {
        case .tensor(let key): key.description
        case .expert(let key, let input): "\(key).\(input.rawValue)"
        }
    }

    /// The input of a resident matrix; nil for what has none.
    package init?(ofMatrix key: TensorKey) {
        let role: TensorRole
        switch key.role {
        case .query, .queryDown, .keyValueDown, .key, .value: role = .attentionNorm
        case .queryUp: role = .queryLatentNorm
        case .keyValueUp: role = .keyValueLatentNorm
        case .attentionOutput, .denseDown, .sharedDown: role = key.role
        case .denseGate, .denseUp, .sharedGate, .sharedUp, .router: role = .feedForwardNorm
        case .outputHead: role = .outputNorm
        case .tokenEmbedding, .encoderEmbedding, .outputNorm, .attentionNorm, .queryLatentNorm, .keyValueLatentNorm,
            .feedForwardNorm,
            .routerBias, .queryBias, .keyBias, .valueBias, .queryNorm, .keyNorm, .attentionOutputBias, .sinks,
            .routerLogitBias, .expertGateBias, .expertUpBias, .expertDownBias,
            .predictionEmbeddingNorm, .predictionHiddenNorm, .predictionProjection, .predictionOutputNorm,
            .predictionEmbedding, .predictionHead,
            .encoderNorm, .encoderPositionBias, .positionBias, .crossNorm, .crossQuery, .crossKey, .crossValue,
            .crossOutput:
            return nil
        }
        self = .tensor(TensorKey(role, layer: key.layer))
    }

    /// The input of a layer's routed experts, before the router has divided it among them.
    package init(ofLayer layer: Int) { self = .tensor(TensorKey(.feedForwardNorm, layer: layer)) }

    package var layer: Int? {
        switch self {
        case .tensor(let key): key.layer
        case .expert(let key, _): key.layer
        }
    }

    /// Every input of a model's matrices with its columns, by layer, the output head's last. The experts of a layer share
    /// what goes into gate and up; what goes into `down` is each one's own.
    package static func inputs(of model: ModelConfiguration) -> [(key: HessianKey, columns: Int)] {
        var columns: [HessianKey: Int] = [:]
        for tensor in model.residentTensors where !tensor.mustBeF32 {
            if let key = HessianKey(ofMatrix: tensor.key) { columns[key] = tensor.columns }
        }
        if let experts = model.experts {
            for layer in model.sparseLayers.indices where model.sparseLayers[layer] {
                columns[HessianKey(ofLayer: layer)] = model.hiddenSize
                for expert in 0..<experts.routedExpertCount {
                    columns[.expert(ExpertKey(layer: layer, expert: expert), .down)] = experts.intermediateSize
                }
            }
        }
        return columns.map { (key: $0.key, columns: $0.value) }.sorted { $0.key < $1.key }
    }
}

extension HessianKey: Comparable {
    /// By layer, then resident matrices before experts, so that a pass over a text takes whole layers.
    package static func < (left: HessianKey, right: HessianKey) -> Bool {
        left.rank.lexicographicallyPrecedes(right.rank)
    }

    private var rank: [Int] {
        switch self {
        case .tensor(let key): [key.layer ?? Int.max, 0, Int(key.role.rawValue)]
        case .expert(let key, let input): [key.layer, 1, key.expert, input == .gateUp ? 0 : 1]
        }
    }

    /// The key of a name.
    init?(_ name: String) {
        let parts = name.split(separator: ".").map(String.init)
        if parts.count == 5, parts[0] == "layers", parts[2] == "experts", let layer = Int(parts[1]),
            let expert = Int(parts[3]), let input = ImportanceMatrix.ExpertInput(rawValue: parts[4]),
            0..<65536 ~= layer, 0..<65536 ~= expert
        {
            self = .expert(ExpertKey(layer: layer, expert: expert), input)
        } else if case .tensor(let key)? = ImportanceMatrix.Key(name) {
            self = .tensor(key)
        } else {
            return nil
        }
        guard description == name else { return nil }
    }
}

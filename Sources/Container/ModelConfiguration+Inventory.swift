/// What the configuration says of one resident tensor. A vector has one row.
package struct TensorRequirement: Sendable, Equatable {
    package let key: TensorKey
    package let rows: Int
    package let columns: Int
    /// [n]: stored as f32 in one row.
    package let isVector: Bool

    private init(key: TensorKey, rows: Int, columns: Int, isVector: Bool) {
        self.key = key
        self.rows = rows
        self.columns = columns
        self.isVector = isVector
    }

    fileprivate static func vector(_ role: TensorRole, _ layer: Int?, _ count: Int) -> Self {
        Self(key: TensorKey(role, layer: layer), rows: 1, columns: count, isVector: true)
    }

    /// [outputs, inputs]
    fileprivate static func matrix(_ role: TensorRole, _ layer: Int?, _ rows: Int, _ columns: Int) -> Self {
        Self(key: TensorKey(role, layer: layer), rows: rows, columns: columns, isVector: false)
    }

    /// Norms, biases and the router decide over everything behind them and weigh next to nothing.
    package var mustBeF32: Bool { isVector || key.role == .router || key.role.isBias }
    /// Rows of the embedding and of the experts' biases are gathered, so they stay whole.
    package var isRowMajor: Bool { isVector || key.role.isEmbedding || key.role.isBias }
}

extension ModelConfiguration {
    /// The tensors that stand outside the layers, in the index's order.
    package var modelTensors: [TensorRequirement] {
        [
            .matrix(.tokenEmbedding, nil, vocabularySize, hiddenSize),
            .vector(.outputNorm, nil, hiddenSize),
            .matrix(.outputHead, nil, vocabularySize, hiddenSize),
        ] + encoderTensors
    }

    private var encoderTensors: [TensorRequirement] {
        guard case .relative(let attention) = attention, let encoder else { return [] }
        let own: [TensorRequirement] = [
            .vector(.encoderNorm, nil, hiddenSize),
            .matrix(.encoderPositionBias, nil, attention.bucketCount, attention.headCount),
            .matrix(.positionBias, nil, attention.bucketCount, attention.headCount),
        ]
        guard encoder.hasOwnEmbedding == true else { return own }
        return own + [.matrix(.encoderEmbedding, nil, vocabularySize, hiddenSize)]
    }

    /// The layers of the forward pass, and behind them those that predict.
    package var storedLayers: Range<Int> { 0..<layerCount + (predictionLayers?.count ?? 0) }

    /// Whether a stored layer has routed experts.
    package func isSparse(_ layer: Int) -> Bool { layer < layerCount ? sparseLayers[layer] : experts != nil }

    /// Layers of the encoder, which come first; 0 for a decoder alone.
    package var encoderLayerCount: Int { encoder?.layerCount ?? 0 }

    /// Whether a layer is the encoder's.
    package func isEncoding(_ layer: Int) -> Bool { layer < encoderLayerCount }

    /// How many resident tensors there are in all; each layer of a kind has the same.
    package var tensorCount: Int {
        let own = [0..<encoderLayerCount, encoderLayerCount..<sparseLayers.count].reduce(modelTensors.count) {
            sum, layers in
            [true, false].reduce(sum) { sum, isSparse in
                guard let example = sparseLayers[layers].firstIndex(of: isSparse) else { return sum }
                return sum + sparseLayers[layers].count(where: { $0 == isSparse }) * tensors(ofLayer: example).count
            }
        }
        return (layerCount..<storedLayers.upperBound).reduce(own) { $0 + tensors(ofLayer: $1).count }
    }

    /// The resident tensors of one layer, in the index's order.
    ///
    /// - Precondition: the layer is one of `storedLayers`, and a sparse one has `experts`.
    package func tensors(ofLayer layer: Int) -> [TensorRequirement] {
        var result: [TensorRequirement] = [.vector(.attentionNorm, layer, hiddenSize)]
        switch attention {
        case .latent(let attention):
            let queryRows = attention.headCount * (attention.plainHeadSize + attention.ropeHeadSize)
            let latent = attention.keyValueLatentRank
            if let rank = attention.queryLatentRank {
                result.append(.matrix(.queryDown, layer, rank, hiddenSize))
                result.append(.vector(.queryLatentNorm, layer, rank))
                result.append(.matrix(.queryUp, layer, queryRows, rank))
            } else {
                result.append(.matrix(.query, layer, queryRows, hiddenSize))
            }
            let keyValueRows = attention.headCount * (attention.plainHeadSize + attention.valueHeadSize)
            result.append(.matrix(.keyValueDown, layer, latent + attention.ropeHeadSize, hiddenSize))
            result.append(.vector(.keyValueLatentNorm, layer, latent))
            result.append(.matrix(.keyValueUp, layer, keyValueRows, latent))
            result.append(.matrix(.attentionOutput, layer, hiddenSize, attention.headCount * attention.valueHeadSize))
        case .grouped(let attention):
            result += Self.tensors(attention, layer: layer, hiddenSize: hiddenSize)
        case .relative(let attention):
            result.append(.matrix(.query, layer, attention.size, hiddenSize))
            result.append(.matrix(.attentionOutput, layer, hiddenSize, attention.size))
            result.append(.matrix(.key, layer, attention.size, hiddenSize))
            result.append(.matrix(.value, layer, attention.size, hiddenSize))
        }
        result.append(.vector(.feedForwardNorm, layer, hiddenSize))
        if isSparse(layer), let experts {
            result.append(.matrix(.router, layer, experts.routedExpertCount, hiddenSize))
            if experts.router.hasSelectionBias {
                result.append(.vector(.routerBias, layer, experts.routedExpertCount))
            }
            if experts.sharedIntermediateSize > 0 {
                result.append(.matrix(.sharedGate, layer, experts.sharedIntermediateSize, hiddenSize))
                result.append(.matrix(.sharedUp, layer, experts.sharedIntermediateSize, hiddenSize))
                result.append(.matrix(.sharedDown, layer, hiddenSize, experts.sharedIntermediateSize))
            }
            if experts.router.hasLogitBias == true {
                result.append(.vector(.routerLogitBias, layer, experts.routedExpertCount))
            }
            if experts.hasBiases == true {
                result.append(.matrix(.expertGateBias, layer, experts.routedExpertCount, experts.intermediateSize))
                result.append(.matrix(.expertUpBias, layer, experts.routedExpertCount, experts.intermediateSize))
                result.append(.matrix(.expertDownBias, layer, experts.routedExpertCount, hiddenSize))
            }
        } else {
            if activation.isGated { result.append(.matrix(.denseGate, layer, denseIntermediateSize, hiddenSize)) }
            result.append(.matrix(.denseUp, layer, denseIntermediateSize, hiddenSize))
            result.append(.matrix(.denseDown, layer, hiddenSize, denseIntermediateSize))
        }
        if layer >= layerCount, let prediction = predictionLayers?[layer - layerCount] {
            result.append(.vector(.predictionEmbeddingNorm, layer, hiddenSize))
            result.append(.vector(.predictionHiddenNorm, layer, hiddenSize))
            result.append(.matrix(.predictionProjection, layer, hiddenSize, 2 * hiddenSize))
            result.append(.vector(.predictionOutputNorm, layer, hiddenSize))
            if prediction.hasOwnEmbedding {
                result.append(.matrix(.predictionEmbedding, layer, vocabularySize, hiddenSize))
            }
            if prediction.hasOwnHead { result.append(.matrix(.predictionHead, layer, vocabularySize, hiddenSize)) }
        }
        if case .relative(let attention) = attention, !isEncoding(layer) {
            result.append(.vector(.crossNorm, layer, hiddenSize))
            result.append(.matrix(.crossQuery, layer, attention.size, hiddenSize))
            result.append(.matrix(.crossKey, layer, attention.size, hiddenSize))
            result.append(.matrix(.crossValue, layer, attention.size, hiddenSize))
            result.append(.matrix(.crossOutput, layer, hiddenSize, attention.size))
        }
        return result
    }

    private static func tensors(
        _ attention: GroupedAttention, layer: Int, hiddenSize: Int
    ) -> [TensorRequirement] {
        let queryRows = attention.headCount * attention.headSize
        let keyValueRows = attention.keyValueHeadCount * attention.headSize
        var result: [TensorRequirement] = [
            .matrix(.query, layer, queryRows, hiddenSize),
            .matrix(.attentionOutput, layer, hiddenSize, queryRows),
            .matrix(.key, layer, keyValueRows, hiddenSize),
            .matrix(.value, layer, keyValueRows, hiddenSize),
        ]
        if attention.hasBias {
            result.append(.vector(.queryBias, layer, queryRows))
            result.append(.vector(.keyBias, layer, keyValueRows))
            result.append(.vector(.valueBias, layer, keyValueRows))
        }
        if attention.headNorm != .none {
            let isWhole = attention.headNorm == .whole
            result.append(.vector(.queryNorm, layer, isWhole ? queryRows : attention.headSize))
            result.append(.vector(.keyNorm, layer, isWhole ? keyValueRows : attention.headSize))
        }
        if attention.hasOutputBias == true { result.append(.vector(.attentionOutputBias, layer, hiddenSize)) }
        if attention.hasSinks == true { result.append(.vector(.sinks, layer, attention.headCount)) }
        return result
    }
}

import Compute
package import Container
package import Model

/// What a step reads and computes, counted from the model's configuration and formats.
///
/// Bytes are those of weights and of the KV cache, each counted once a step (decode) or once a chunk (prefill), however
/// often a kernel comes back to them. Multiply-adds are those that the arithmetic needs, each matrix once a token, not
/// what a kernel spends.
package struct StepCost: Sendable, Codable, Equatable {
    /// Of what every step reads whole: all resident tensors but the embedding, of which a token reads one row.
    package var residentByteCount: Int
    package var embeddingRowByteCount: Int
    /// Of the output head, which a prompt's last token alone needs.
    package var headByteCount: Int
    /// Of one routed expert, on average.
    package var expertByteCount: Double
    package var expertsPerLayer: Int
    package var expertsPerToken: Int
    package var sparseLayerCount: Int
    /// Of one position in the cache, all layers together.
    package var cacheByteCountPerPosition: Int
    /// Of all matrices that a token goes through, the output head apart.
    package var matrixMultiplyAdds: Int
    package var headMultiplyAdds: Int
    /// Of the scores and sums of a token, for one position that it sees, all layers together.
    package var absorbedMultiplyAddsPerPosition: Int
    package var expandedMultiplyAddsPerPosition: Int

    /// - Parameter configuration: the loaded model's, which may activate more experts than the container's.
    package init(
        container: ContainerReader, planes: ExpertPlanes = .coarse, configuration: ModelConfiguration,
        cacheFormat: CacheFormat
    ) {
        let experts = configuration.experts
        sparseLayerCount = configuration.sparseLayers.count { $0 }
        expertsPerLayer = experts?.routedExpertCount ?? 0
        expertsPerToken = experts?.expertsPerToken ?? 0
        expertByteCount =
            container.sources(planes: planes).reduce(0.0) { $0 + Double($1.byteCount) }
            / Double(max(container.experts.count, 1))

        residentByteCount = 0
        matrixMultiplyAdds = 0
        embeddingRowByteCount = 0
        headByteCount = 0
        headMultiplyAdds = 0
        for record in container.tensors.values {
            switch record.key.role {
            case .tokenEmbedding:
                embeddingRowByteCount = record.shape.strideByteCount
            case .outputHead:
                headByteCount = record.byteCount
                headMultiplyAdds = record.shape.rows * record.shape.columns
                residentByteCount += record.byteCount
            default:
                residentByteCount += record.byteCount
                if record.shape.layout == .panels { matrixMultiplyAdds += record.shape.rows * record.shape.columns }
            }
        }
        matrixMultiplyAdds +=
            sparseLayerCount * expertsPerToken * (configuration.activation.isGated ? 3 : 2) * configuration.hiddenSize
            * (experts?.intermediateSize ?? 0)

        switch configuration.attention {
        case .latent(let attention):
            let cached = attention.keyValueLatentRank + attention.ropeHeadSize
            let layersOfHeads = configuration.layerCount * attention.headCount
            cacheByteCountPerPosition = configuration.layerCount * cached * cacheFormat.elementByteCount
            absorbedMultiplyAddsPerPosition = layersOfHeads * (cached + attention.keyValueLatentRank)
            expandedMultiplyAddsPerPosition =
                layersOfHeads * (attention.plainHeadSize + attention.ropeHeadSize + attention.valueHeadSize)
        case .grouped(let attention):
            let cached = 2 * attention.keyValueHeadCount * attention.headSize
            cacheByteCountPerPosition = configuration.layerCount * cached * cacheFormat.elementByteCount
            absorbedMultiplyAddsPerPosition = configuration.layerCount * attention.headCount * 2 * attention.headSize
            expandedMultiplyAddsPerPosition = absorbedMultiplyAddsPerPosition
        case .relative(let attention):
            let layerCount = configuration.layerCount - configuration.encoderLayerCount
            cacheByteCountPerPosition = layerCount * 2 * attention.size * cacheFormat.elementByteCount
            absorbedMultiplyAddsPerPosition = layerCount * 2 * attention.size
            expandedMultiplyAddsPerPosition = absorbedMultiplyAddsPerPosition
        }
    }

    /// Work of a measurement.
    package struct Count: Sendable, Codable, Equatable {
        package var byteCount: Double
        package var matrixMultiplyAdds: Double
        package var attentionMultiplyAdds: Double
    }

    /// Of `count` tokens that each of `sequences` decodes behind `depth` others, in as many steps together.
    ///
    /// - Parameter experts: how many were used, each counted once a step and layer; nil for those of one sequence.
    package func decode(count: Int, depth: Int, sequences: Int = 1, experts: Int? = nil) -> Count {
        // Positions seen: the token's own and all before it.
        let positions = Double(sequences) * Double(count) * (Double(depth) + Double(count + 1) / 2)
        let weights = Double(count) * Double(residentByteCount + sequences * embeddingRowByteCount)
        return Count(
            byteCount: weights + expertByteCount * Double(experts ?? count * expertsOfOneToken)
                + positions * Double(cacheByteCountPerPosition),
            matrixMultiplyAdds: Double(sequences * count) * Double(matrixMultiplyAdds + headMultiplyAdds),
            attentionMultiplyAdds: positions * Double(absorbedMultiplyAddsPerPosition))
    }

    /// Of a prompt of `count` tokens in chunks of `chunk`.
    ///
    /// - Parameter experts: how many were used, each counted once a chunk and layer.
    package func prefill(count: Int, chunk: Int, experts: Int) -> Count {
        let chunks = (count + chunk - 1) / chunk
        // Each chunk goes through what was cached before it and adds its own.
        let cached = (1...max(chunks, 1)).reduce(0) { $0 + min($1 * chunk, count) }
        let weights =
            chunks * (residentByteCount - headByteCount) + headByteCount + count * embeddingRowByteCount
            + cached * cacheByteCountPerPosition
        return Count(
            byteCount: Double(weights) + expertByteCount * Double(experts),
            matrixMultiplyAdds: Double(count) * Double(matrixMultiplyAdds) + Double(headMultiplyAdds),
            attentionMultiplyAdds: Double(count) * Double(count + 1) / 2 * Double(expandedMultiplyAddsPerPosition))
    }

    package var expertsOfOneToken: Int { sparseLayerCount * expertsPerToken }

    /// Experts of a layer that at least one of `sequences` tokens goes through, if every expert is equally likely.
    package func distinctExperts(sequences: Int) -> Double {
        guard expertsPerLayer > 0 else { return 0 }
        var unused = 1.0
        for _ in 0..<sequences { unused *= 1 - Double(expertsPerToken) / Double(expertsPerLayer) }
        return Double(expertsPerLayer) * (1 - unused)
    }

    /// Bytes of one step that decodes a token each of `sequences`, all at the same depth: the resident weights once, the
    /// union of their experts once, and everyone's cache.
    package func batchByteCount(sequences: Int, depth: Int) -> Double {
        Double(residentByteCount + sequences * embeddingRowByteCount)
            + Double(sparseLayerCount) * distinctExperts(sequences: sequences) * expertByteCount
            + Double(sequences * (depth + 1)) * Double(cacheByteCountPerPosition)
    }
}

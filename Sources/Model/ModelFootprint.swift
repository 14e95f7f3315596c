package import Container
package import ExpertPaging

/// What a container takes in memory, before it is decided how much of it is kept there.
package struct ModelFootprint: Sendable {
    package let configuration: ModelConfiguration
    /// Everything but the routed experts.
    package let denseByteCount: Int
    /// The routed experts' sizes.
    package let arena: ArenaShape
    /// Where the lanes put what they read before it is unpacked or put together, all lanes together.
    package let laneByteCount: Int

    package init(
        configuration: ModelConfiguration, denseByteCount: Int, arena: ArenaShape, laneByteCount: Int = 0
    ) {
        self.configuration = configuration
        self.denseByteCount = denseByteCount
        self.arena = arena
        self.laneByteCount = laneByteCount
    }

    package init(
        container: ContainerReader, planes: ExpertPlanes = .coarse, laneCount: Int, expertsPerToken: Int? = nil
    ) {
        self.init(
            configuration: container.metadata.configuration.activating(expertsPerToken),
            denseByteCount: ResidentTensors.byteCount(of: container),
            arena: ArenaShape(container: container, planes: planes, laneCount: laneCount),
            laneByteCount: laneCount * BlobFile.scratchByteCount(of: container.sources(planes: planes)))
    }

    /// The same with another number of lanes.
    func reading(byLanes laneCount: Int) -> ModelFootprint {
        ModelFootprint(
            configuration: configuration, denseByteCount: denseByteCount,
            arena: ArenaShape(classes: arena.classes, expertsPerToken: arena.expertsPerToken, laneCount: laneCount),
            laneByteCount: laneByteCount / max(arena.laneCount, 1) * laneCount)
    }

    /// Of whole blocks that hold so many tokens.
    func cacheByteCount(tokens: Int, format: CacheFormat) -> Int {
        KeyValueCache.byteCount(
            configuration: configuration, blocks: KeyValueCache.blockCount(tokens: tokens), format: format)
    }

    func scratchByteCount(chunk: Int, sequences: Int) -> Int {
        ScratchLayout(configuration: configuration, chunk: chunk, sequences: sequences).byteCount + laneByteCount
    }

    /// What reading an input of so many tokens takes in an encoder-decoder: its states, and a layer's keys and values.
    func inputByteCount(tokens: Int) -> Int {
        guard configuration.encoder != nil else { return 0 }
        let cached = AttentionSizes(configuration.attention).cached
        return tokens * (configuration.hiddenSize + cached.first + cached.second) * 4
    }

    /// Experts that one token uses, all layers together: below as many slots a token evicts what the next one needs.
    package var expertsOfOneToken: Int {
        configuration.sparseLayers[configuration.encoderLayerCount...].count { $0 }
            * (configuration.experts?.expertsPerToken ?? 0)
    }

    /// Bytes of the experts that one token uses.
    package var expertBytesOfOneToken: Int {
        guard arena.expertCount > 0, let all = arena.byteCount(slotCount: arena.expertCount) else { return 0 }
        return all / arena.expertCount * expertsOfOneToken
    }
}

extension ModelConfiguration {
    /// The same model with another number of experts a token, from all groups; nil changes nothing.
    func activating(_ expertsPerToken: Int?) -> ModelConfiguration {
        guard let expertsPerToken else { return self }
        var configuration = self
        configuration.experts?.expertsPerToken = expertsPerToken
        configuration.experts?.router.groupsPerToken = experts?.router.groupCount ?? 0
        return configuration
    }
}

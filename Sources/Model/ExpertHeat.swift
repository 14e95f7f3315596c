package import Container
package import ExpertPaging

/// Which experts are worth both planes, by what earlier runs recorded of their use.
package struct ExpertHeat: Sendable {
    struct Expert: Sendable {
        let key: ExpertKey
        /// Part of all uses, with one more use of every expert than was recorded, and as it was recorded: 0…1.
        let use: Double
        let recordedUse: Double
        let coarseByteCount: Int
        /// nil for an expert that has one plane.
        let fineByteCount: Int?
    }

    /// The most used first.
    let experts: [Expert]

    /// nil if nothing is recorded for this container.
    package init?(_ popularity: PopularityFile?, container: ContainerReader) {
        let perLayer = container.metadata.configuration.experts?.routedExpertCount ?? 0
        let keys = container.experts.keys.sorted { ($0.layer, $0.expert) < ($1.layer, $1.expert) }
        guard let popularity, popularity.identity == container.indexChecksum, popularity.popularity.count == keys.count,
            perLayer > 0, popularity.popularity.contains(where: { $0 > 0 })
        else { return nil }
        let layerCount = Double(keys.count / perLayer)
        let rates = popularity.rates(expertsPerLayer: perLayer, unseen: 1)
        let recorded = popularity.rates(expertsPerLayer: perLayer)
        let recordedSum = recorded.reduce(0, +)
        experts = keys.indices.sorted { (rates[$1], $0) < (rates[$0], $1) }.compactMap { index in
            container.experts[keys[index]].map { blob in
                Expert(
                    key: keys[index], use: rates[index] / layerCount, recordedUse: recorded[index] / recordedSum,
                    coarseByteCount: blob.byteCount,
                    fineByteCount: container.refinements[keys[index]].map {
                        ExpertSource(blob, refinement: $0).byteCount
                    })
            }
        }
    }

    /// How much more may be read than with the coarse planes alone, by the recorded use: a hot expert takes the place of
    /// nearly two others.
    static let mostReads = 1.1

    /// Part of all uses that find their expert on storage, if the most used ones are in memory.
    func missed(slotCount: Int) -> Double { experts.dropFirst(slotCount).reduce(0) { $0 + $1.use } }

    /// The `count` most used of those that have two planes.
    func hottest(_ count: Int) -> some Collection<Expert> {
        experts.lazy.filter { $0.fineByteCount != nil }.prefix(count)
    }

    var refinableCount: Int { experts.count { $0.fineByteCount != nil } }

    /// The footprint with both planes of the `count` hottest.
    func footprint(hot count: Int, coarse: ModelFootprint, both: ModelFootprint) -> ModelFootprint {
        guard count > 0 else { return coarse }
        let hot = Set(hottest(count).map(\.key))
        let byteCounts = experts.map {
            hot.contains($0.key) ? $0.fineByteCount ?? $0.coarseByteCount : $0.coarseByteCount
        }
        return ModelFootprint(
            configuration: coarse.configuration, denseByteCount: coarse.denseByteCount,
            arena: ArenaShape(
                blobByteCounts: byteCounts, hotByteCounts: Set(hottest(count).compactMap(\.fineByteCount)),
                expertsPerToken: coarse.arena.expertsPerToken, laneCount: coarse.arena.laneCount),
            laneByteCount: both.laneByteCount)
    }
}

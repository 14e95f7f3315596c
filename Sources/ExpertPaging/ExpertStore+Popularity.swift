import Container
import Synchronization

extension ExpertStore {
    /// What is known of the experts' use, to be kept for the next run.
    package var popularity: PopularityFile {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        let policy = core.table.policy
        return PopularityFile(
            identity: core.file.container.indexChecksum,
            popularity: (0..<policy.expertCount).map { Float(policy.popularity(of: $0)) })
    }

    /// Begins with what an earlier run learnt: the policy counts on it, and while nothing is asked for the lanes read
    /// the most popular experts into free slots. Does nothing after the first use, or with another model's file.
    ///
    /// Each layer's experts are taken by their part of the layer's uses, so that no layer is left out.
    package func warm(with file: PopularityFile) {
        guard file.identity == core.file.container.indexChecksum, file.popularity.count == core.sources.count else {
            return
        }
        let rates = file.rates(expertsPerLayer: expertsPerLayer)
        let used = rates.indices.filter { rates[$0] > 0 }.sorted { (rates[$0], $1) < (rates[$1], $0) }
        core.monitor.lock()
        defer { core.monitor.unlock() }
        guard core.layerCounters.allSatisfy({ $0.uses == 0 }) else { return }
        core.table.restore(popularity: file.popularity)
        core.guesses = used.suffix(slotCount).map { Int32(truncatingIfNeeded: $0) }
        core.lastDemand = .now - .seconds(1)
        core.workArrived.broadcast()
    }

    /// How one layer's experts are used and which are in memory, for a heat map.
    package struct LayerUse: Sendable, Equatable {
        package let layer: Int
        /// [experts]
        package let popularity: [Float]
        /// [experts]
        package let isResident: [Bool]
        /// Since the start.
        package let counters: LayerCounters
    }

    /// One entry a layer with routed experts.
    package var layers: [LayerUse] {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        return firstIndices.enumerated().compactMap { layer, first in
            guard first >= 0 else { return nil }
            let its = first..<first + expertsPerLayer
            return LayerUse(
                layer: layer, popularity: its.map { Float(core.table.policy.popularity(of: $0)) },
                isResident: its.map { core.table.isResident($0) },
                counters: core.layerCounters[layer])
        }
    }
}

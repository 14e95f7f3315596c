import Container
import ExpertPaging

extension MemoryPlan {
    /// What `PlaneChoice.heat` came to.
    package struct HeatShare: Sendable, Equatable {
        /// Experts that are used with both planes.
        package var refinedExpertCount: Int
        /// Their part of the recorded use, 0…1; nil while nothing is recorded.
        package var recordedUse: Double?
    }

    /// Plans both planes for as many of the hottest experts as have a slot each and leave so many to the others that no more
    /// is read than `ExpertHeat.mostReads` allows. They are chosen once, so answers don't depend on which experts are in
    /// memory, and as for the most lanes that may read, so that they don't depend on how fast storage is found to be.
    ///
    /// - Parameters:
    ///   - heat: nil while nothing is recorded.
    ///   - wanted: exactly so many, if they have room.
    static func following(
        _ heat: ExpertHeat?, refining wanted: Int?, coarse: ModelFootprint, both: ModelFootprint,
        planning plan: (ModelFootprint) throws(ModelError) -> MemoryPlan
    ) throws(ModelError) -> MemoryPlan {
        var best = try plan(coarse)
        best.planes = .coarse
        best.heat = HeatShare(refinedExpertCount: 0, recordedUse: heat.map { _ in 0 })
        guard let heat else {
            best.planesReason = "nothing is recorded yet of which experts are used"
            best.warnings.append(
                "--planes heat chooses by which experts were used, and nothing is recorded of that yet, so all are used with "
                    + "their coarse planes; what the daemon records while it answers counts from its next start on")
            return best
        }
        let laneCount = max(coarse.arena.laneCount, StorageProbe.laneCounts.max() ?? 1)
        let (wideCoarse, wideBoth) = (coarse.reading(byLanes: laneCount), both.reading(byLanes: laneCount))
        /// Slots, if so many hot experts have room.
        func slotCount(hot count: Int) throws(ModelError) -> Int? {
            let footprint = heat.footprint(hot: count, coarse: wideCoarse, both: wideBoth)
            do throws(ModelError) {
                let slotCount = try plan(footprint).slotCount
                return footprint.arena.holdsFirst(slotCount: slotCount) ? slotCount : nil
            } catch {
                guard error.code == .insufficientMemory else { throw error }
                return nil
            }
        }
        let refinableCount = heat.refinableCount
        let coarseSlotCount = try slotCount(hot: 0) ?? 0
        let limit = ExpertHeat.mostReads * heat.missed(slotCount: coarseSlotCount)
        var (count, high) = (0, coarseSlotCount > 0 ? refinableCount : 0)
        if let wanted {
            high = min(wanted, high)
            count = try slotCount(hot: high) == nil ? 0 : high
            high = count
        }
        while count < high {
            let middle = (count + high + 1) / 2
            if let slots = try slotCount(hot: middle), heat.missed(slotCount: slots) <= limit {
                count = middle
            } else {
                high = middle - 1
            }
        }
        guard count > 0 else {
            best.planesReason = "no expert has room for both, by what is recorded of their use"
            return best
        }
        best = try plan(heat.footprint(hot: count, coarse: coarse, both: both))
        let hot = Set(heat.hottest(count).map(\.key))
        best.planes = count == refinableCount ? .both : .heat(hot)
        best.planesReason =
            if wanted != nil {
                "as many as in the run before, whose memory is used again"
            } else if coarseSlotCount == best.expertCount {
                "as many as have room beside all others"
            } else {
                "as many as leave it at a tenth more reads than with coarse planes alone"
            }
        best.heat = HeatShare(
            refinedExpertCount: count, recordedUse: heat.hottest(count).reduce(0) { $0 + $1.recordedUse })
        // Those that always have a slot aren't read for a token.
        best.missedTokenByteCount = coarse.expertBytesOfOneToken
        best.tokenByteCount = Int(
            Double(best.tokenExpertCount)
                * heat.experts.reduce(0.0) { sum, expert in
                    let byteCount = hot.contains(expert.key) ? expert.fineByteCount : nil
                    return sum + expert.use * Double(byteCount ?? expert.coarseByteCount)
                })
        return best
    }
}

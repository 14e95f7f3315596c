import API
import ExpertPaging
import Generation
import Model

extension Status.Paging {
    init(_ engine: EngineStatus, _ layers: [ExpertStore.LayerUse], _ lossy: LossyRouting) {
        let counters = engine.paging
        let tokens = Double(engine.totals.promptTokens + engine.totals.completionTokens)
        self.init(
            hitCount: Int(clamping: counters.hits), missCount: Int(clamping: counters.misses),
            evictionCount: Int(clamping: counters.evictions), byteCount: Int(clamping: counters.bytesRead),
            stallSeconds: counters.stallDuration.seconds, readCount: Int(clamping: counters.reads),
            residentCount: engine.residentExpertCount,
            occupancy: engine.slotCount > 0 ? Double(engine.residentExpertCount) / Double(engine.slotCount) : nil,
            perToken: tokens > 0
                ? PerToken(
                    byteCount: Double(counters.bytesRead) / tokens, readCount: Double(counters.reads) / tokens,
                    stallMilliseconds: 1000 * counters.stallDuration.seconds / tokens)
                : nil,
            prediction: Prediction(
                predictedUseCount: Int(clamping: counters.predictedUses),
                recalledUseCount: Int(clamping: counters.recalledUses), readCount: Int(clamping: counters.aheadReads),
                usedCount: Int(clamping: counters.aheadUses)),
            isReadingAhead: counters.readsAhead, layers: layers.map { LayerPaging($0) },
            preferResident: lossy.preferResident.decimal, dropCold: lossy.dropCold.decimal,
            substitutedCount: Int(clamping: counters.substitutions), droppedCount: Int(clamping: counters.drops),
            refinedUseCount: Int(clamping: counters.refinedUses))
    }
}

extension LayerPaging {
    init(_ use: ExpertStore.LayerUse) {
        let counters = use.counters
        self.init(
            layer: use.layer, hitCount: Int(clamping: counters.hits),
            missCount: Int(clamping: counters.uses - counters.hits), readCount: Int(clamping: counters.reads),
            byteCount: Int(clamping: counters.bytesRead), stallSeconds: Double(counters.stallNanoseconds) / 1e9,
            residentCount: use.isResident.count { $0 },
            prediction: Prediction(
                predictedUseCount: Int(clamping: counters.predictedUses),
                recalledUseCount: Int(clamping: counters.recalledUses), readCount: Int(clamping: counters.aheadReads),
                usedCount: Int(clamping: counters.aheadUses)))
    }
}

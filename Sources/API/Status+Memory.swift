extension Status {
    /// The plan that was made before anything was loaded, in bytes.
    package struct Memory: Codable, Sendable, Equatable {
        /// nil without `--memory`.
        package var budgetByteCount: Int?
        package var denseByteCount: Int
        package var cacheByteCount: Int
        package var scratchByteCount: Int
        package var arenaByteCount: Int
        package var expertSlotCount: Int
        package var expertCount: Int
        /// nil from daemons that don't say.
        package var pressure: Pressure?
        /// `coarse`, `both` or `heat` for experts that are stored in two planes; nil for others.
        package var expertPlanes: String?
        /// With `heat`: experts that are used with both planes, and their part of the use that was recorded before the start,
        /// 0…1, nil when nothing was.
        package var refinedExpertCount: Int?
        package var refinedUse: Double?

        package init(
            budgetByteCount: Int?, denseByteCount: Int, cacheByteCount: Int, scratchByteCount: Int,
            arenaByteCount: Int, expertSlotCount: Int, expertCount: Int, expertPlanes: String? = nil,
            refinedExpertCount: Int? = nil, refinedUse: Double? = nil
        ) {
            self.budgetByteCount = budgetByteCount
            self.denseByteCount = denseByteCount
            self.cacheByteCount = cacheByteCount
            self.scratchByteCount = scratchByteCount
            self.arenaByteCount = arenaByteCount
            self.expertSlotCount = expertSlotCount
            self.expertCount = expertCount
            self.expertPlanes = expertPlanes
            self.refinedExpertCount = refinedExpertCount
            self.refinedUse = refinedUse
        }

        private enum CodingKeys: String, CodingKey {
            case budgetByteCount = "budget_bytes"
            case denseByteCount = "dense_bytes"
            case cacheByteCount = "kv_cache_bytes"
            case scratchByteCount = "scratch_bytes"
            case arenaByteCount = "expert_arena_bytes"
            case expertSlotCount = "expert_slots"
            case expertCount = "experts"
            case pressure
            case expertPlanes = "expert_planes"
            case refinedExpertCount = "refined_experts"
            case refinedUse = "refined_use"
        }
    }

    /// What expert paging did since the start.
    package struct Paging: Codable, Sendable, Equatable {
        package var hitCount: Int
        package var missCount: Int
        package var evictionCount: Int
        package var byteCount: Int
        /// How long the engine waited for experts.
        package var stallSeconds: Double
        /// Reads of experts that ended, well or badly; nil from daemons that don't say.
        package var readCount: Int?
        /// Experts in memory now; nil from daemons that don't say.
        package var residentCount: Int?
        /// Those among all slots, 0…1; nil without slots and from daemons that don't say.
        package var occupancy: Double?
        /// What a token of a prompt or an answer cost on average; nil before the first.
        package var perToken: PerToken?
        /// What came of predicting the next layer's experts; nil where nothing was predicted.
        package var prediction: Prediction?
        /// Whether predicted experts are read ahead now for generated tokens.
        package var isReadingAhead: Bool?
        /// Layers with routed experts, in their order; nil from daemons that don't say.
        package var layers: [LayerPaging]?
        /// Those of all uses whose expert is used with both planes; nil from daemons that don't say.
        package var refinedUseCount: Int?

        /// The lossy help that answers get when they ask for none, and what help came to since the start; nil from daemons
        /// that don't say.
        package var preferResident: Double?
        package var dropCold: Double?
        package var substitutedCount: Int?
        package var droppedCount: Int?

        package init(
            hitCount: Int, missCount: Int, evictionCount: Int, byteCount: Int, stallSeconds: Double,
            readCount: Int? = nil, residentCount: Int? = nil, occupancy: Double? = nil, perToken: PerToken? = nil,
            prediction: Prediction? = nil, isReadingAhead: Bool? = nil, layers: [LayerPaging]? = nil,
            preferResident: Double? = nil, dropCold: Double? = nil, substitutedCount: Int? = nil,
            droppedCount: Int? = nil, refinedUseCount: Int? = nil
        ) {
            self.hitCount = hitCount
            self.missCount = missCount
            self.evictionCount = evictionCount
            self.byteCount = byteCount
            self.stallSeconds = stallSeconds
            self.readCount = readCount
            self.residentCount = residentCount
            self.occupancy = occupancy
            self.perToken = perToken
            self.prediction = prediction
            self.isReadingAhead = isReadingAhead
            self.layers = layers
            self.preferResident = preferResident
            self.dropCold = dropCold
            self.substitutedCount = substitutedCount
            self.droppedCount = droppedCount
            self.refinedUseCount = refinedUseCount
        }

        /// Hits among all uses; nil before the first.
        package var hitRate: Double? {
            let total = hitCount + missCount
            return total == 0 ? nil : Double(hitCount) / Double(total)
        }

        private enum CodingKeys: String, CodingKey {
            case hitCount = "hits"
            case missCount = "misses"
            case evictionCount = "evictions"
            case byteCount = "bytes_read"
            case stallSeconds = "stall_seconds"
            case readCount = "reads"
            case residentCount = "resident"
            case occupancy
            case perToken = "per_token"
            case prediction
            case isReadingAhead = "reading_ahead"
            case layers
            case preferResident = "prefer_resident"
            case dropCold = "drop_cold"
            case substitutedCount = "substituted"
            case droppedCount = "dropped"
            case refinedUseCount = "refined_uses"
        }
    }
}

/// What the store has done since it was made.
package struct PagingCounters: Sendable, Equatable {
    /// Experts asked for that were in memory or already on their way.
    package var hits: UInt64 = 0
    /// Experts asked for whose blob had to be read.
    package var misses: UInt64 = 0
    /// Of both, those whose expert is used with two planes.
    package var refinedUses: UInt64 = 0
    /// Experts that gave up their slot to another.
    package var evictions: UInt64 = 0
    /// Experts that were read, well or badly.
    package var reads: UInt64 = 0
    /// Reads of experts that nobody had asked for, begun while nothing was asked for.
    package var guessedReads: UInt64 = 0
    /// Reads that failed.
    package var failures: UInt64 = 0
    /// Bytes that were taken from the file.
    package var bytesRead: UInt64 = 0
    /// Time that the lanes spent reading and unpacking, added up.
    package var readDuration: Duration = .zero
    /// Time that `wait` waited.
    package var stallDuration: Duration = .zero
    /// Of generated tokens: experts asked for in a layer whose choice had been predicted, and those of them that were
    /// among the predicted.
    package var predictedUses: UInt64 = 0
    package var recalledUses: UInt64 = 0
    /// Experts whose read was begun because they were predicted, and those of them that were asked for before they gave
    /// up their slot.
    package var aheadReads: UInt64 = 0
    package var aheadUses: UInt64 = 0
    /// Whether that is done now for generated tokens.
    package var readsAhead = false

    /// Experts chosen in place of others because they were in memory, and experts left out because they weren't: lossy
    /// help that answers asked for.
    package var substitutions: UInt64 = 0
    package var drops: UInt64 = 0

    package init() {}

    /// Experts asked for.
    package var uses: UInt64 { hits + misses }

    /// Hits among everything asked for, 0…1; 0 before the first.
    package var hitRate: Double {
        uses == 0 ? 0 : Double(hits) / Double(uses)
    }
}

/// The same of one layer, as far as it concerns one.
package struct LayerCounters: Sendable, Equatable {
    /// Experts asked for, and how many of them were in memory or already on their way.
    package var uses: UInt64 = 0
    package var hits: UInt64 = 0
    /// Those of the uses whose expert is used with two planes.
    package var refinedUses: UInt64 = 0
    package var reads: UInt64 = 0
    package var bytesRead: UInt64 = 0
    package var stallNanoseconds: UInt64 = 0
    package var predictedUses: UInt64 = 0
    package var recalledUses: UInt64 = 0
    package var aheadReads: UInt64 = 0
    package var aheadUses: UInt64 = 0

    package init() {}
}

import ExpertPaging
import Model

extension BenchmarkReport.Paging {
    /// What happened between two looks at the counters, in which `tokenCount` tokens were computed.
    ///
    /// - Parameters:
    ///   - byteCount: of everything that the tokens read, wherever it was.
    ///   - expertByteCount: of one expert.
    init(
        from before: PagingCounters, to after: PagingCounters, tokenCount: Int, byteCount: Double,
        expertByteCount: Double, storageBandwidth: Double, readBandwidth: Double
    ) {
        func difference(_ counter: KeyPath<PagingCounters, UInt64>) -> Double {
            Double(after[keyPath: counter] - before[keyPath: counter])
        }
        let tokens = Double(tokenCount)
        let uses = difference(\.hits) + difference(\.misses)
        let (predicted, ahead) = (difference(\.predictedUses), difference(\.aheadReads))
        let missed = (difference(\.misses) + difference(\.aheadUses)) * expertByteCount
        hitRate = uses > 0 ? difference(\.hits) / uses : 0
        readsPerToken = difference(\.reads) / tokens
        storageBytesPerToken = difference(\.bytesRead) / tokens
        stallSecondsPerToken = (after.stallDuration - before.stallDuration) / .seconds(1) / tokens
        missedBytesPerToken = missed / tokens
        restBytesPerToken = max(byteCount - missed, 0) / tokens
        boundTokensPerSecond =
            1 / (missedBytesPerToken / storageBandwidth + restBytesPerToken / readBandwidth)
        recall = predicted > 0 ? difference(\.recalledUses) / predicted : nil
        // What was begun before and used now would make it negative.
        waste = ahead > 0 ? max(1 - difference(\.aheadUses) / ahead, 0) : nil
    }
}

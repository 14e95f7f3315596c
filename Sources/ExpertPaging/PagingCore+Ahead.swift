import Compute
import Container
import Synchronization

extension PagingCore {
    /// What nobody asked for is read in pieces of this size. Between two of them a lane does what was asked for meanwhile, so
    /// that nobody waits longer than for a piece.
    static let pieceByteCount = 1 << 20

    var hasExpectations: Bool { !expectedOfSteps.isEmpty || !expectedOfChunk.isEmpty }

    /// The next expert that a router is expected to choose, while nothing that was asked for is on its way.
    func takeExpected() -> SlotTable.Read? {
        guard limits.ahead > 0, busyCount == 0 else { return nil }
        // One lane stays free for what is asked for, as it may be another.
        if laneCount == 1 || aheadCount < laneCount - 1 {
            while let expert = expectedOfSteps.next() {
                if let read = begin(Int(expert), isPassing: false) { return read }
            }
        }
        while table.expectedCount + aheadCount < limits.ahead, let expert = expectedOfChunk.next() {
            if let read = begin(Int(expert), isPassing: true) { return read }
        }
        return nil
    }

    private func begin(_ expert: Int, isPassing: Bool) -> SlotTable.Read? {
        guard let (read, evicted) = table.takeExpected(expert, isPassing: isPassing) else { return nil }
        if evicted { evictions.add(1, ordering: .relaxed) }
        layerCounters[sources[expert].key.layer].aheadReads += 1
        return read
    }

    /// The next guess worth reading.
    func takeGuess() -> SlotTable.Read? {
        guard !guesses.isEmpty, busyCount == 0, lastDemand.duration(to: .now) >= .milliseconds(Self.idleMilliseconds)
        else {
            return nil
        }
        while let expert = guesses.popLast() {
            guard let read = table.takeGuess(Int(expert)) else { continue }
            guessedReads.add(1, ordering: .relaxed)
            return read
        }
        return nil
    }

    /// Reads an expert that nobody asked for, piece by piece. Once somebody does, it is read like any other; once the router
    /// has chosen others, it is given up.
    func readAhead(_ first: SlotTable.Read, scratch: AlignedMemory?) {
        var read = first
        while true {
            let range = range(of: read)
            // What isn't used as it is stored is read and decoded in one go, because the lane has memory for one.
            let isWhole = !sources[read.expert].isStored
            var place = range.lowerBound
            var failure: PagingError?
            while place < range.upperBound, failure == nil {
                while !table.isHeld(read.slot), let other = table.takeRead() { answer(other, scratch: scratch) }
                let isHeld = table.isHeld(read.slot)
                guard isHeld || !isSuperseded(read) else { return table.interrupt(read) }
                if !isHeld, busyCount > 0, !table.isAhead(read.slot) {
                    // Of two that need storage, the one that nobody waits for comes later.
                    guesses.append(Int32(truncatingIfNeeded: read.expert))
                    return table.interrupt(read)
                }
                let step = isHeld || isWhole ? range.count : Self.pieceByteCount
                let piece = place..<min(place + step, range.upperBound)
                failure = transfer(piece, of: read, scratch: scratch)
                place = piece.upperBound
            }
            complete(read, failure, scratch: scratch)
            guard table.isForsaken(read.slot) else { return }
            guard !isSuperseded(read) else { return table.abandon(read.slot) }
            read = table.takePart(of: read.slot)
        }
    }

    /// Whether an expert that nobody asked for isn't worth reading to its end, because the store stops or its layer has
    /// asked for others.
    private func isSuperseded(_ read: SlotTable.Read) -> Bool {
        if isStopping { return true }
        guard table.isAhead(read.slot) else { return false }
        guard table.isPassing(read.slot) else { return !expectedOfSteps.contains(read.expert) }
        // A chunk asks for a layer's experts bit by bit, and the next layer's are expected meanwhile.
        let layer = sources[read.expert].key.layer
        return layer != expectedOfChunk.layer && layer != chunkLayer
    }
}

package import Container

/// Reads that take much longer than storage that works ever does, so that those who need one had better step aside for others.
extension ExpertStore {
    /// Whether an expert that was too slow for `wait` is still being read.
    package func isComing(_ key: ExpertKey) -> Bool {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        guard let index = try? index(layer: key.layer, expert: key.expert) else { return false }
        return core.table.awaited(index)?.isComing ?? false
    }

    /// Nobody who stepped aside for an expert needs it held any more.
    package func forsake(_ key: ExpertKey) {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        guard let index = try? index(layer: key.layer, expert: key.expert), let awaited = core.table.awaited(index)
        else { return }
        core.table.endAwaiting(awaited.slot)
    }

    /// Sleeps until a part of any expert has been read, for 20 ms at most.
    package func waitForParts() {
        core.monitor.lock()
        core.waitForPart()
        core.monitor.unlock()
    }

    /// Whether a slot may be held beyond the layer at hand, with the monitor locked: one more in each layer, for which the
    /// engine's waves leave room, and where a lease is left for others. Others may have the slot held already.
    func mayAwait(_ slot: Int) -> Bool {
        guard core.table.hasReadRunning(slot, for: Self.slowReadDuration) else { return false }
        return core.table.slots[slot].isAwaited
            || core.table.awaitedCount == core.capacity.awaitedBefore && leaseLimitLocked > 1
    }
}

import Container
import Synchronization

extension ExpertStore {
    /// Holds a layer's experts, one ticket each in the same order, and queues the reads of those that are missing.
    ///
    /// What is in memory is held before anything is evicted, so that no expert of the call makes room for another.
    /// Throws `.tooManyLeases`, holding nothing, when more than `leaseLimit` would be held.
    package func acquire(
        layer: Int, experts: Span<Int32>, into tickets: inout [Ticket]
    ) throws(PagingError) {
        tickets.removeAll(keepingCapacity: true)
        var missing = 0

        core.monitor.lock()
        defer { core.monitor.unlock() }
        if !core.guesses.isEmpty { core.lastDemand = .now }
        for position in experts.indices {
            let index: Int
            do {
                index = try self.index(layer: layer, expert: Int(experts[position]))
            } catch {
                letGoLocked(&tickets)
                throw error
            }
            tickets.append(Ticket(slot: Int32(core.table.holdIfPresent(index) ?? -1), index: Int32(index)))
        }
        for position in tickets.indices where tickets[position].slot < 0 {
            let index = tickets[position].index
            switch core.table.place(Int(index)) {
            case .present(let slot):
                tickets[position] = Ticket(slot: Int32(slot), index: index)
            case .queued(let slot, let hasEvicted):
                tickets[position] = Ticket(slot: Int32(slot), index: index)
                missing += 1
                if hasEvicted { core.evictions.add(1, ordering: .relaxed) }
            case .none:
                letGoLocked(&tickets)
                throw PagingError(
                    .tooManyLeases,
                    "layer \(layer) asks for \(experts.count) experts while others are held: "
                        + "\(leaseLimitLocked) of the \(slotCount) slots may be held at a time")
            }
        }
        core.hits.add(UInt64(tickets.count - missing), ordering: .relaxed)
        core.misses.add(UInt64(missing), ordering: .relaxed)
        if !tickets.isEmpty {
            core.layerUses[layer] += UInt64(tickets.count)
            core.layerHits[layer] += UInt64(tickets.count - missing)
        }
        if missing == 1 {
            core.workArrived.signal()
        } else if missing > 1 {
            core.workArrived.broadcast()
        }
    }

    /// Whether `wait` would return, or throw, at once.
    package func isReady(_ ticket: Ticket) -> Bool {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        switch core.table.phase(of: Int(ticket.slot)) {
        case .ready, .failed: return true
        case .free, .queued, .reading, .retired: return false
        }
    }

    /// The expert's unpacked blob, `layout(of:).byteCount` bytes that stay as they are until the ticket is released.
    ///
    /// While the lanes are at it, `cancelled` is asked about every 20 ms; it must not call the store. Throws
    /// `.unreadable` or `.cancelled`; the ticket must be released all the same.
    package func wait(
        _ ticket: Ticket, cancelled: () -> Bool = { false }
    ) throws(PagingError) -> UnsafeRawPointer {
        let slot = Int(ticket.slot)
        core.monitor.lock()
        var start: ContinuousClock.Instant?
        defer {
            core.monitor.unlock()
            if let start { core.stallNanoseconds.add(start.nanosecondsUntilNow, ordering: .relaxed) }
        }
        while true {
            switch core.table.phase(of: slot) {
            case .ready:
                return unsafe UnsafeRawPointer(core.address(of: slot))
            case .failed(let error):
                throw error
            case .free, .queued, .reading, .retired:
                if start == nil { start = .now }
                guard !cancelled() else {
                    throw PagingError(.cancelled, "nobody waits for \(core.records[Int(ticket.index)].key) any more")
                }
                core.readEnded.wait(in: core.monitor, milliseconds: 20)
            }
        }
    }

    /// Gives an expert back. If nobody else holds it and no lane has begun to read it, it is no longer read; a read
    /// that has begun ends, and its expert stays.
    package func release(_ ticket: Ticket) {
        core.monitor.lock()
        core.table.letGo(Int(ticket.slot))
        core.monitor.unlock()
    }

    /// Gives back everything that is held by `tickets`, and empties it.
    package func release(_ tickets: inout [Ticket]) {
        core.monitor.lock()
        letGoLocked(&tickets)
        core.monitor.unlock()
    }

    private func letGoLocked(_ tickets: inout [Ticket]) {
        for ticket in tickets where ticket.slot >= 0 { core.table.letGo(Int(ticket.slot)) }
        tickets.removeAll(keepingCapacity: true)
    }

    private func index(layer: Int, expert: Int) throws(PagingError) -> Int {
        guard firstIndices.indices.contains(layer), firstIndices[layer] >= 0, 0..<expertsPerLayer ~= expert else {
            let key = ExpertKey(layer: layer, expert: expert)
            throw PagingError(.unknownExpert, "the model has no \(key)", expert: key)
        }
        return firstIndices[layer] + expert
    }
}

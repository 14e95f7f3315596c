import Container
import Synchronization

extension ExpertStore {
    /// Who asks.
    package enum Demand: Sendable {
        /// Generated tokens, whose experts are worth keeping.
        case step
        /// Many tokens of a prompt. They want nearly all experts of a layer, and the same in the next chunk: what they bring
        /// goes round in a few slots and stays only if the prompt uses it more than what is there (`recordUses`).
        case chunk
    }

    /// Holds a layer's experts, one ticket each in the same order, and queues the reads of those that are missing.
    ///
    /// What is in memory is held before anything is evicted, so that no expert of the call makes room for another.
    /// Throws `.tooManyLeases`, holding nothing, when more than `leaseLimit` would be held.
    package func acquire(
        layer: Int, experts: Span<Int32>, for demand: Demand = .step, into tickets: inout [Ticket]
    ) throws(PagingError) {
        tickets.removeAll(keepingCapacity: true)
        var missing = 0
        // Where every expert has a slot, all stay.
        let isPassing = demand == .chunk && isPaged

        core.monitor.lock()
        defer { core.monitor.unlock() }
        if !core.guesses.isEmpty { core.lastDemand = .now }
        let usedAhead = core.table.usedAheadCount
        for position in experts.indices {
            let index: Int
            do {
                index = try self.index(layer: layer, expert: Int(experts[position]))
            } catch {
                letGoLocked(&tickets)
                throw error
            }
            let slot = core.table.holdIfPresent(index, counts: demand == .step, isPassing: isPassing)
            tickets.append(Ticket(slot: Int32(slot ?? -1), index: Int32(index)))
        }
        expireExpectations(layer: layer, demand, tickets)
        for position in tickets.indices where tickets[position].slot < 0 {
            let index = tickets[position].index
            switch core.table.place(Int(index), isPassing: isPassing) {
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
        core.missCount += UInt64(missing)
        if !tickets.isEmpty {
            core.layerCounters[layer].uses += UInt64(tickets.count)
            core.layerCounters[layer].hits += UInt64(tickets.count - missing)
            core.layerCounters[layer].refinedUses += UInt64(
                tickets.count { core.sources[Int($0.index)].refinement != nil })
            core.layerCounters[layer].aheadUses += UInt64(core.table.usedAheadCount - usedAhead)
        }
        if core.table.hasReads || core.hasExpectations && core.busyCount == 0 { core.workArrived.broadcast() }
    }

    /// Counts how many of a chunk's tokens use each expert of a layer, before any of them is asked for.
    ///
    /// - Parameter counts: [experts of a layer]: tokens that use each.
    package func recordUses(layer: Int, experts: Span<Int32>, counts: Span<Int32>, tokenCount: Int) {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        for position in experts.indices {
            guard let index = try? index(layer: layer, expert: Int(experts[position])) else { continue }
            let tokens = Int(counts[Int(experts[position])])
            core.table.recordUse(of: index, tokens: tokens, ofTokens: tokenCount)
        }
    }

    /// Whether `wait` would return, or throw, at once.
    package func isReady(_ ticket: Ticket) -> Bool { isReady(ticket, .whole) }

    package enum Part: Sendable {
        /// `gate` and `up`. Their checksum may not have been compared yet: nothing that is computed from them may be used
        /// before the whole is there.
        case gateUp
        case whole
    }

    package func isReady(_ ticket: Ticket, _ part: Part) -> Bool {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        switch core.table.phase(of: Int(ticket.slot)) {
        case .ready, .failed: return true
        case .partial: return part == .gateUp
        case .free, .queued, .reading, .retired: return false
        }
    }

    /// The expert's unpacked blob, `layout(of:).byteCount` bytes that stay as they are until the ticket is released; with
    /// `.gateUp` those up to `downOffset`.
    ///
    /// While the lanes are at it, `cancelled` is asked about every 20 ms; it must not call the store. Throws
    /// `.unreadable`, `.cancelled` or `.slow`; the ticket must be released all the same.
    ///
    /// - Parameter stepsAside: whether `.slow` is thrown once the read has lasted for `slowReadDuration`. The expert is held then
    ///   (`isComing`) until its read fails or `forsake` is called.
    package func wait(
        _ ticket: Ticket, for part: Part = .whole, stepsAside: Bool = false, cancelled: () -> Bool = { false }
    ) throws(PagingError) -> UnsafeRawPointer {
        let slot = Int(ticket.slot)
        let key = core.sources[Int(ticket.index)].key
        core.monitor.lock()
        var start: ContinuousClock.Instant?
        defer {
            if let start {
                let stall = start.nanosecondsUntilNow
                core.layerCounters[key.layer].stallNanoseconds += stall
                core.stallNanoseconds += stall
            }
            core.monitor.unlock()
        }
        while true {
            switch core.table.phase(of: slot) {
            case .ready:
                return unsafe UnsafeRawPointer(core.address(of: slot))
            case .partial where part == .gateUp:
                return unsafe UnsafeRawPointer(core.address(of: slot))
            case .failed(let error):
                throw error
            case .free, .queued, .reading, .partial, .retired:
                if start == nil { start = .now }
                guard !cancelled() else { throw PagingError(.cancelled, "nobody waits for \(key) any more") }
                if stepsAside, mayAwait(slot) {
                    core.table.await(slot)
                    throw PagingError(.slow, "\(key) is still being read", expert: key)
                }
                core.waitForPart()
            }
        }
    }

    /// Gives an expert back. If nobody else holds it, parts of it that no lane has begun are no longer read; if none is
    /// missing, it stays.
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

    func index(layer: Int, expert: Int) throws(PagingError) -> Int {
        guard firstIndices.indices.contains(layer), firstIndices[layer] >= 0, 0..<expertsPerLayer ~= expert else {
            let key = ExpertKey(layer: layer, expert: expert)
            throw PagingError(.unknownExpert, "the model has no \(key)", expert: key)
        }
        return firstIndices[layer] + expert
    }
}

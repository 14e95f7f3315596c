import Container

extension ExpertStore {
    /// Says what a layer's router is likely to choose before it does. While the lanes have nothing to do, they read what is
    /// missing of it; whatever is asked for overtakes that, and what the router then doesn't choose is given up.
    ///
    /// Takes the place of what was expected before for the same kind of demand.
    ///
    /// - Parameters:
    ///   - experts: distinct, the surest first; for `.step` all of them are held against the choice (`recalledUses`).
    ///   - count: how many of the first may be read ahead.
    package func expect(layer: Int, experts: Span<Int32>, reading count: Int, for demand: Demand = .step) {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        switch demand {
        case .step: expect(&core.expectedOfSteps, layer, experts, reading: count)
        case .chunk: expect(&core.expectedOfChunk, layer, experts, reading: count)
        }
        if core.hasExpectations, core.busyCount == 0 { core.workArrived.broadcast() }
    }

    private func expect(_ expectation: inout Expectation, _ layer: Int, _ experts: Span<Int32>, reading count: Int) {
        expectation.begin(layer: layer)
        for position in experts.indices {
            guard let index = try? index(layer: layer, expert: Int(experts[position])) else { continue }
            expectation.append(index, isRead: position < count && !core.table.isResident(index))
        }
    }

    /// Whether the arena has room for experts that nobody has asked for yet, and not for all.
    package var canReadAhead: Bool { isPaged && core.limits.ahead > 0 }

    /// Whether predictions of what generated tokens want are worth making now (`LookaheadGate`).
    package var readsAhead: Bool {
        guard canReadAhead else { return false }
        core.monitor.lock()
        defer { core.monitor.unlock() }
        return core.gate.isOn
    }

    /// A step of generated tokens is through, in which so much time went into predictions.
    package func endStep(predicting duration: Duration) {
        guard canReadAhead else { return }
        core.monitor.lock()
        defer { core.monitor.unlock() }
        let stall = Duration.nanoseconds(core.stallNanoseconds - core.stallOfEarlierSteps)
        let hasRead = core.missCount > core.missesOfEarlierSteps || stall > .zero
        core.stallOfEarlierSteps = core.stallNanoseconds
        core.missesOfEarlierSteps = core.missCount
        core.expectedOfSteps.end()
        if hasRead { core.gate.record(lost: stall + duration) }
    }

    /// Begins a step of generated tokens: what was waited for since the last one was a prompt's.
    package func beginStep() {
        guard isPaged else { return }
        core.monitor.lock()
        core.stallOfEarlierSteps = core.stallNanoseconds
        core.missesOfEarlierSteps = core.missCount
        core.monitor.unlock()
    }

    /// The prompt's chunk is through, or given up: what was read ahead for it needn't be kept.
    package func endChunk() {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        endChunkLocked()
    }

    private func endChunkLocked() {
        core.chunkLayer = -1
        core.expectedOfChunk.end()
        core.table.expireExpected(except: 0..<0)
    }

    /// A layer's router has chosen `tickets`.
    func expireExpectations(layer: Int, _ demand: Demand, _ tickets: [Ticket]) {
        switch demand {
        case .step:
            if core.expectedOfSteps.layer == layer {
                var recalled: UInt64 = 0
                for ticket in tickets where core.expectedOfSteps.contains(Int(ticket.index)) { recalled += 1 }
                core.layerCounters[layer].predictedUses += UInt64(tickets.count)
                core.layerCounters[layer].recalledUses += recalled
                core.expectedOfSteps.end()
            }
            guard core.chunkLayer >= 0 else { return }
            // Whoever gave a prompt up may not have said so.
            core.stepsSinceChunk += 1
            if core.stepsSinceChunk > Self.mostStepsBetweenChunks * firstIndices.count { endChunkLocked() }
        case .chunk:
            core.stepsSinceChunk = 0
            guard core.chunkLayer != layer else { return }
            core.chunkLayer = layer
            core.table.expireExpected(except: firstIndices[layer]..<firstIndices[layer] + expertsPerLayer)
        }
    }

    private static let mostStepsBetweenChunks = 16
}

import Compute
import Container
import ExpertPaging

extension LoadedModel {
    /// hidden += Σ weight · expert(x) + shared(x). `input` holds the inputs.
    ///
    /// Experts are asked for at once; while the missing ones are read, the shared experts and those in memory are
    /// computed. Every output is kept apart and summed in the router's order, whatever order they came in.
    ///
    /// An expert that can't be read fails the sequences whose tokens chose it, and no others.
    func addExperts(
        layer: Int, _ sparse: SparseFeedForward, _ pass: ForwardPass, cancelled: (Int) -> Bool
    ) {
        do {
            try computeExperts(layer: layer, sparse, pass, cancelled: cancelled)
            combine(pass, sparse)
        } catch {
            for sequence in pass.failures.indices { pass.fail(sequence, error) }
        }
    }

    /// Into `expertOutputs` and `shared`. Throws what concerns all sequences, or when none goes on.
    private func computeExperts(
        layer: Int, _ sparse: SparseFeedForward, _ pass: ForwardPass, cancelled: (Int) -> Bool
    ) throws(ModelError) {
        let count = pass.count
        let isLossy = helpsReading(pass)
        if isLossy { markResidents(layer: layer, sparse.choice) }
        route(
            sparse.router, sparse.choice, input, count: count, into: .chosenExperts, .expertWeights,
            lossyRows: isLossy ? pass : nil)
        if isLossy { countLossyUses(sparse.choice, pass) }
        if let routing { reroute(layer: layer, by: routing, sparse.choice, pass) }
        if sparse.choice.configuration.capacity != nil { leaveOutFull(layer: layer, sparse.choice, pass) }
        showChoices(layer: layer, count: count, perToken: sparse.choice.expertsPerToken)
        let distinct = groupByExpert(sparse.choice, count: count)
        let demand: ExpertStore.Demand = pass === scratch.chunk ? .chunk : .step
        if demand == .chunk {
            unsafe experts.recordUses(
                layer: layer, experts: Span(_unsafeStart: scratch.integers(.distinctExperts), count: distinct),
                counts: Span(_unsafeStart: scratch.integers(.expertCounts), count: sparse.choice.expertCount),
                tokenCount: count)
        }
        // At most two waves are held at a time, unless one holds them all, and one expert beside them that is too slow to
        // come. A chunk that pages goes through its experts bit by bit, so that it takes few slots away from others.
        let limit = experts.beginLeases()
        let most = demand == .chunk && experts.isPaged ? min(limit, ExpertStore.mostOfChunkWave) : limit
        let waveSize = distinct <= most ? distinct : max(min((limit - 1) / 2, most), 1)
        let looksAhead = distinct > waveSize && limit > 2

        defer {
            experts.release(&scratch.wave)
            experts.release(&scratch.nextWave)
            experts.endLeases()
        }
        var asked = 0
        var done = 0
        func askForWave() throws(ModelError) {
            let size = min(waveSize, distinct - asked)
            guard size > 0 else { return }
            let wanted = unsafe Span(_unsafeStart: scratch.integers(.distinctExperts) + asked, count: size)
            do {
                try experts.acquire(layer: layer, experts: wanted, for: demand, into: &scratch.nextWave)
            } catch {
                throw ModelError(.unreadableExpert, "layer \(layer)'s experts could not be asked for", cause: error)
            }
            asked += size
        }

        try askForWave()
        expectNextLayer(after: layer, pass)
        if let shared = sparse.shared { computeForAll(shared, .shared(layer: layer), count: count, into: .shared) }
        while done < distinct {
            if scratch.nextWave.isEmpty { try askForWave() }
            swap(&scratch.wave, &scratch.nextWave)
            if looksAhead { try askForWave() }
            try computeWave(layer: layer, sparse, first: done, pass, cancelled: cancelled)
            done += scratch.wave.count
            experts.release(&scratch.wave)
        }
    }

    /// Experts and their weights: [tokens, expertsPerToken], best first.
    ///
    /// - Parameter lossyRows: whose rows look at what is in memory as far as they were asked to.
    func route(
        _ router: Matrix, _ choice: Router, _ input: ActivationBuffer, count: Int,
        into experts: ScratchLayout.Buffer, _ expertWeights: ScratchLayout.Buffer, lossyRows: ForwardPass? = nil
    ) {
        let (total, taken) = (choice.expertCount, choice.expertsPerToken)
        unsafe multiply(router, input, tokens: count, into: scratch.floats(.routerScores))
        forEach(count, work: count * total * (taken + 16)) { row in
            var scores = unsafe MutableSpan(
                _unsafeStart: scratch.floats(.routerScores) + row * total, count: total)
            var ranking = unsafe MutableSpan(_unsafeStart: scratch.floats(.ranking) + row * total, count: total)
            var chosen = unsafe MutableSpan(_unsafeStart: scratch.integers(experts) + row * taken, count: taken)
            var weights = unsafe MutableSpan(
                _unsafeStart: scratch.floats(expertWeights) + row * taken, count: taken)
            if let lossyRows, !lossyRows.rows[row].lossy.isOff {
                chooseLossily(
                    choice, row: row, by: lossyRows.rows[row].lossy, scores: &scores, ranking: &ranking,
                    experts: &chosen,
                    weights: &weights)
            } else {
                choice.choose(scores: &scores, ranking: &ranking, experts: &chosen, weights: &weights)
            }
        }
    }

    private func reroute(layer: Int, by routing: any RoutingSource, _ choice: Router, _ pass: ForwardPass) {
        let taken = choice.expertsPerToken
        for row in 0..<pass.count {
            var chosen = unsafe MutableSpan(
                _unsafeStart: scratch.integers(.chosenExperts) + row * taken, count: taken)
            routing.choose(layer: layer, position: pass.rows[row].position, experts: &chosen)
        }
    }

    /// Every row's experts in the rows' order, for who comes first is taken.
    private func leaveOutFull(layer: Int, _ choice: Router, _ pass: ForwardPass) {
        let taken = choice.expertsPerToken
        for (index, row) in pass.rows.enumerated() {
            var chosen = unsafe MutableSpan(
                _unsafeStart: scratch.integers(.chosenExperts) + index * taken, count: taken)
            pass.expertUses[row.sequence]?.limit(&chosen, layer: layer, by: choice)
        }
    }

    /// Orders the assignments by expert, then token: `places` says where each stands, `assignedTokens` whose it is. What
    /// was left out, −1 among the chosen experts, has no place.
    /// Returns how many experts have any; they stand in `distinctExperts`.
    private func groupByExpert(_ choice: Router, count: Int) -> Int {
        let taken = choice.expertsPerToken
        let chosen = unsafe scratch.integers(.chosenExperts)
        let (counts, ends) = unsafe (scratch.integers(.expertCounts), scratch.integers(.expertEnds))
        let (places, tokens) = unsafe (scratch.integers(.places), scratch.integers(.assignedTokens))
        let distinct = unsafe scratch.integers(.distinctExperts)
        unsafe counts.update(repeating: 0, count: choice.expertCount)
        for assignment in 0..<count * taken where unsafe chosen[assignment] >= 0 {
            unsafe counts[Int(chosen[assignment])] += 1
        }
        var end: Int32 = 0
        var distinctCount = 0
        for expert in 0..<choice.expertCount {
            // Starts, which become ends as the places are given out.
            unsafe ends[expert] = end
            guard unsafe counts[expert] > 0 else { continue }
            unsafe end += counts[expert]
            unsafe distinct[distinctCount] = Int32(truncatingIfNeeded: expert)
            distinctCount += 1
        }
        for assignment in 0..<count * taken where unsafe chosen[assignment] >= 0 {
            let expert = unsafe Int(chosen[assignment])
            let place = unsafe ends[expert]
            unsafe ends[expert] += 1
            unsafe places[assignment] = place
            unsafe tokens[Int(place)] = Int32(truncatingIfNeeded: assignment / taken)
        }
        return distinctCount
    }

    /// Computes the experts of `scratch.wave`, which are those of `distinctExperts` from `first` on: those that are
    /// ready together, and when none is, the one that was asked for first.
    private func computeWave(
        layer: Int, _ sparse: SparseFeedForward, first: Int, _ pass: ForwardPass,
        cancelled: (Int) -> Bool
    ) throws(ModelError) {
        let isOnlyToken = pass.count == 1
        let pending = unsafe scratch.integers(.pendingTickets)
        var left = scratch.wave.count
        for index in 0..<left { unsafe pending[index] = Int32(truncatingIfNeeded: index) }
        while left > 0 {
            guard pass.poll(cancelled) else { throw .cancelled }
            scratch.jobs.removeAll(keepingCapacity: true)
            var rows = 0
            var kept = 0
            for position in 0..<left {
                let index = unsafe Int(pending[position])
                if rows + assignments(first + index) <= scratch.layout.rowCount,
                    experts.isReady(scratch.wave[index])
                {
                    rows += addJob(index, layer: layer, sparse, first: first, row: rows, pass, cancelled)
                } else {
                    unsafe pending[kept] = pending[position]
                    kept += 1
                }
            }
            if kept == left {
                unsafe computeAsItArrives(Int(pending[0]), layer: layer, sparse, first: first, pass, cancelled)
                kept -= 1
                for position in 0..<kept { unsafe pending[position] = pending[position + 1] }
            }
            left = kept
            if rows > 0 { computeJobs(rows: rows, isOnlyToken: isOnlyToken) }
        }
    }

    /// How many of the pass's tokens chose an expert of `distinctExperts`.
    private func assignments(_ index: Int) -> Int {
        unsafe Int(scratch.integers(.expertCounts)[Int(scratch.integers(.distinctExperts)[index])])
    }

    /// Puts one expert's tokens on the list and returns how many they are; none if it can't be read.
    private func addJob(
        _ index: Int, _ part: ExpertStore.Part = .whole, layer: Int, _ sparse: SparseFeedForward,
        first: Int, row: Int, _ pass: ForwardPass, _ cancelled: (Int) -> Bool
    ) -> Int {
        let ticket = scratch.wave[index]
        let rowCount = assignments(first + index)
        let expert = unsafe Int(scratch.integers(.distinctExperts)[first + index])
        let start = unsafe Int(scratch.integers(.expertEnds)[expert]) - rowCount
        let blob: UnsafeRawPointer
        do {
            unsafe blob = try wait(ticket, part, for: tokens(start, rowCount), of: pass, cancelled)
        } catch {
            return 0
        }
        let matrices = unsafe FeedForwardMatrices(
            blob: blob, layout: experts.layout(of: ticket), gating: sparse.gating(of: expert))
        let key = ExpertKey(layer: layer, expert: expert)
        scratch.jobs.append(
            FeedForwardJob(
                matrices: matrices, kind: .expert(key),
                inputRow: pass.count == 1 ? 0 : row, firstRow: row, rowCount: rowCount, outputRow: start))
        return rowCount
    }

    /// Computes one expert, `gate` and `up` as soon as they are there and `down` once the whole is there and sound.
    private func computeAsItArrives(
        _ index: Int, layer: Int, _ sparse: SparseFeedForward, first: Int, _ pass: ForwardPass,
        _ cancelled: (Int) -> Bool
    ) {
        scratch.jobs.removeAll(keepingCapacity: true)
        let rows = addJob(index, .gateUp, layer: layer, sparse, first: first, row: 0, pass, cancelled)
        guard rows > 0 else { return }
        computeGatedJobs(rows: rows, isOnlyToken: pass.count == 1)
        do {
            _ = try unsafe wait(
                scratch.wave[index], .whole, for: tokens(scratch.jobs[0].outputRow, rows), of: pass, cancelled)
        } catch {
            return
        }
        unsafe computeDown(rows: rows, into: scratch.floats(.expertOutputs))
    }

    /// The tokens of a range of the assignments.
    private func tokens(_ first: Int, _ count: Int) -> UnsafeBufferPointer<Int32> {
        unsafe UnsafeBufferPointer(start: scratch.integers(.assignedTokens) + first, count: count)
    }

    /// Waits for an expert as long as one of the sequences that chose it is wanted. If it can't be had, they fail.
    private func wait(
        _ ticket: ExpertStore.Ticket, _ part: ExpertStore.Part, for tokens: UnsafeBufferPointer<Int32>,
        of pass: ForwardPass, _ cancelled: (Int) -> Bool
    ) throws(PagingError) -> UnsafeRawPointer {
        do {
            return try unsafe experts.wait(ticket, for: part, stepsAside: pass.stepsAside) {
                unsafe tokens.allSatisfy { token in
                    let sequence = pass.rows[Int(token)].sequence
                    return pass.failures[sequence] != nil || cancelled(sequence)
                }
            }
        } catch {
            let failure: ModelError =
                switch error.code {
                case .cancelled: .cancelled
                case .slow: ModelError(.slowExpert, "an expert is slow to come", cause: error)
                default: ModelError(.unreadableExpert, "an expert could not be read", cause: error)
                }
            for index in tokens.indices { unsafe pass.fail(pass.rows[Int(tokens[index])].sequence, failure) }
            throw error
        }
    }

    private func computeJobs(rows: Int, isOnlyToken: Bool) {
        computeGatedJobs(rows: rows, isOnlyToken: isOnlyToken)
        unsafe computeDown(rows: rows, into: scratch.floats(.expertOutputs))
    }

    private func computeGatedJobs(rows: Int, isOnlyToken: Bool) {
        showExpertInputs()
        if isOnlyToken {
            computeGated(rows: rows, from: input)
        } else {
            gather(rows: rows)
            computeGated(rows: rows, from: expertInput)
        }
    }

    /// The jobs' inputs, row after row, into `expertInput`.
    private func gather(rows: Int) {
        let (assigned, gathered) = unsafe (scratch.integers(.assignedTokens), scratch.integers(.gatheredTokens))
        var wantsFloats = false
        for index in scratch.jobs.indices {
            let job = scratch.jobs[index]
            unsafe (gathered + job.firstRow).update(from: assigned + job.outputRow, count: job.rowCount)
            let matrices = job.matrices
            wantsFloats =
                wantsFloats || matrices.gate.map { !$0.shape.format.isQuantized } ?? false
                || !matrices.up.shape.format.isQuantized
        }
        expertInput.begin(
            tokens: rows, columns: input.columnCount, quantize: input.isQuantized, floats: wantsFloats)
        forEach(rows, work: rows * input.columnCount) { row in
            unsafe expertInput.gather(input, from: Int(gathered[row]), token: row)
        }
    }

    private func showExpertInputs() {
        guard scratch.inputObserver != nil else { return }
        let size = configuration.hiddenSize
        for job in scratch.jobs {
            guard case .expert(let key) = job.kind else { continue }
            for row in job.outputRow..<job.outputRow + job.rowCount {
                let token = unsafe Int(scratch.integers(.assignedTokens)[row])
                unsafe showInputs(scratch.floats(.normed) + token * size, count: 1, columns: size, of: .expert(key))
            }
        }
    }

    /// hidden += Σ weight · (output + bias) in the router's order, then the shared experts' output.
    private func combine(_ pass: ForwardPass, _ sparse: SparseFeedForward) {
        let (size, perToken) = (configuration.hiddenSize, sparse.choice.expertsPerToken)
        let (hidden, delta) = unsafe (pass.hidden, scratch.floats(.delta))
        let (outputs, shared) = unsafe (scratch.floats(.expertOutputs), scratch.floats(.shared))
        let (weights, places) = unsafe (scratch.floats(.expertWeights), scratch.integers(.places))
        let chosen = unsafe scratch.integers(.chosenExperts)
        forEach(pass.count, work: pass.count * size * (perToken + 2)) { row in
            let sum = unsafe delta + row * size
            unsafe sum.update(repeating: 0, count: size)
            for assignment in row * perToken..<(row + 1) * perToken where unsafe chosen[assignment] >= 0 {
                unsafe kernels.axpy(
                    weights[assignment], outputs + Int(places[assignment]) * size, count: size, into: sum)
                if let biases = sparse.biases {
                    unsafe kernels.axpy(
                        weights[assignment], biases.down + Int(chosen[assignment]) * size, count: size, into: sum)
                }
            }
            if sparse.shared != nil { unsafe kernels.add(shared + row * size, count: size, into: sum) }
            unsafe kernels.add(sum, count: size, into: hidden + row * size)
        }
    }
}

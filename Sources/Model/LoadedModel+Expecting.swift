import Compute
import Container
import ExpertPaging

extension LoadedModel {
    /// Tells the store what the next sparse layer's router is likely to choose: what it would choose if the layers between
    /// added nothing to the tokens' states. No result depends on it.
    ///
    /// For generated tokens only while that gains; for a prompt always, whose next layer wants nearly every expert anyway.
    func expectNextLayer(after layer: Int, _ pass: ForwardPass) {
        let isChunk = pass === scratch.chunk
        guard isChunk ? experts.canReadAhead : experts.readsAhead else { return }
        let start = ContinuousClock.now
        defer { predictionDuration += ContinuousClock.now - start }
        // What the encoder's states would choose says nothing of the decoder's.
        let end = configuration.isEncoding(layer) ? configuration.encoderLayerCount : configuration.layerCount
        for next in layer + 1..<max(layer + 1, end) {
            guard case .sparse(let sparse) = weights.layers[next].feedForward else { continue }
            let choice = sparse.choice
            predict(layer: next, sparse.router, choice, pass)
            // Of few tokens, the last ranks are guessed wrong too often to be worth a read.
            let isCertain = isChunk && pass.count >= Self.tokensOfCertainty
            let ranks = isCertain ? choice.expertsPerToken : min(Self.readRanks, choice.expertsPerToken)
            var (count, readCount) = collect(choice, count: pass.count, ranks: ranks)
            if isCertain {
                // Nearly all are wanted, in the order in which they will be asked for.
                count = sortExpected(choice)
                readCount = count
            }
            unsafe experts.expect(
                layer: next, experts: Span(_unsafeStart: scratch.integers(.expectedDistinct), count: count),
                reading: readCount, for: isChunk ? .chunk : .step)
            return
        }
    }

    /// Lists what `collect` found by number. Returns how many there are.
    private func sortExpected(_ choice: Router) -> Int {
        let (isListed, distinct) = unsafe (scratch.integers(.pendingTickets), scratch.integers(.expectedDistinct))
        var found = 0
        for expert in 0..<choice.expertCount where unsafe isListed[expert] != 0 {
            unsafe distinct[found] = Int32(truncatingIfNeeded: expert)
            found += 1
        }
        return found
    }

    /// A token's experts that are read ahead: its router's surest.
    private static let readRanks = 4
    private static let tokensOfCertainty = 32

    /// expectedExperts: [tokens, expertsPerToken], best first. The inputs of experts aren't gathered yet, and the sum of their
    /// outputs isn't begun: both buffers are free.
    private func predict(layer: Int, _ router: Matrix, _ choice: Router, _ pass: ForwardPass) {
        let (taken, count) = (choice.expertsPerToken, pass.count)
        unsafe norm(weights.layers[layer].feedForwardNorm, pass, rows: 0..<count, into: .delta)
        unsafe load(expertInput, scratch.floats(.delta), tokens: count, columns: configuration.hiddenSize)
        route(router, choice, expertInput, count: count, into: .expectedExperts, .expectedWeights)
        guard let routing else { return }
        for row in 0..<count {
            var chosen = unsafe MutableSpan(
                _unsafeStart: scratch.integers(.expectedExperts) + row * taken, count: taken)
            routing.predict(layer: layer, position: pass.rows[row].position, experts: &chosen)
        }
    }

    /// The distinct experts of a prediction, the best rank of all tokens first, into `expectedDistinct`. Returns how many
    /// there are, and how many of them are among the first `ranks` of some token.
    private func collect(_ choice: Router, count: Int, ranks: Int) -> (count: Int, readCount: Int) {
        let taken = choice.expertsPerToken
        let (chosen, distinct) = unsafe (scratch.integers(.expectedExperts), scratch.integers(.expectedDistinct))
        // Free until the wave is computed.
        let isListed = unsafe scratch.integers(.pendingTickets)
        unsafe isListed.update(repeating: 0, count: choice.expertCount)
        var (found, readCount) = (0, 0)
        for rank in 0..<taken {
            for row in 0..<count {
                let expert = unsafe chosen[row * taken + rank]
                guard unsafe isListed[Int(expert)] == 0 else { continue }
                unsafe isListed[Int(expert)] = 1
                unsafe distinct[found] = expert
                found += 1
            }
            if rank < ranks { readCount = found }
        }
        return (found, readCount)
    }
}

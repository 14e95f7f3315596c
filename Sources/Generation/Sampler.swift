import Glibc

/// Chooses the tokens of one answer.
///
/// Everything that decides is computed in f64 by additions, multiplications, divisions and comparisons in a fixed
/// order, so the same logits and seed give the same token on every machine. A choice costs O(vocabulary), plus a
/// logarithm for each token that top-k, top-p and min-p keep; nothing is allocated after `init`.
package struct Sampler: Sendable {
    private let parameters: SamplingParameters
    private var random: RandomSource
    /// [vocabulary]: the logits after the penalties.
    private var logits: [Float]
    /// [vocabulary]: ids as a max-heap by logit; the kept ones end up behind the heap.
    private var order: [Int32]
    /// [vocabulary]: e^(logit − largest).
    private var weights: [Double]
    private var history: TokenHistory

    package let seed: UInt64

    /// `prompt` counts for the repetition penalty.
    package init(parameters: SamplingParameters, vocabularySize: Int, prompt: some Sequence<Int32>) {
        self.parameters = parameters
        seed = parameters.seed ?? UInt64.random(in: 0..<1 << 53)
        random = RandomSource(seed: seed)
        logits = Array(repeating: 0, count: vocabularySize)
        order = Array(repeating: 0, count: vocabularySize)
        weights = Array(repeating: 0, count: vocabularySize)
        history = TokenHistory(vocabularySize: vocabularySize, prompt: prompt)
    }

    /// The next token for the model's logits [vocabulary], which counts as part of the answer from now on.
    ///
    /// Throws `.internal` if a logit is NaN or plus infinity, or if all are minus infinity.
    package mutating func sample(_ modelLogits: Span<Float>) throws(GenerationError) -> Int32 {
        let largest = try take(modelLogits)
        let token = parameters.temperature == 0 ? Int32(largest) : draw(largest: Double(logits[largest]))
        history.append(token)
        return token
    }

    /// The logits after the penalties. Returns the id of the largest.
    private mutating func take(_ modelLogits: Span<Float>) throws(GenerationError) -> Int {
        precondition(modelLogits.count == logits.count)
        for id in logits.indices { logits[id] = modelLogits[id] }
        history.penalize(&logits, by: parameters)

        var best = 0
        for id in logits.indices {
            // False for NaN and for plus infinity.
            guard logits[id] < .infinity else {
                throw GenerationError(.internal, "the model's logit of token \(id) is \(logits[id])")
            }
            if logits[id] > logits[best] { best = id }
        }
        guard logits[best] > -.infinity else { throw GenerationError(.internal, "every logit is minus infinity") }
        return best
    }

    private mutating func draw(largest: Double) -> Int32 {
        choose(among: keep(largest: largest), largest: largest, isOrdered: isRestricted)
    }

    /// How many ids can be drawn.
    private mutating func keep(largest: Double) -> Int {
        isRestricted ? keepLikeliest(largest: largest) : logits.count
    }

    private var isRestricted: Bool { parameters.topK > 0 || parameters.topP < 1 || parameters.minP > 0 }

    // MARK: Under a constraint

    /// How many tokens are drawn in vain before all are judged.
    private static let mostTries = 16

    /// The next token of those that are acceptable, which is the one that was asked about last; nil if none is.
    ///
    /// What top-k, top-p and min-p keep is decided before: the token is drawn from the acceptable ones among it, in
    /// proportion to their weights. Only if there are none, the rules keep anew, of all that are acceptable. A token that
    /// isn't is put aside and another one drawn, which comes to the same distribution, and to no work beside one question
    /// for a model that does what is asked for.
    package mutating func sample(
        _ modelLogits: Span<Float>, where isAcceptable: (Int32) -> Bool
    ) throws(GenerationError) -> Int32? {
        let largest = try take(modelLogits)
        var token: Int32?
        if parameters.temperature == 0 {
            token = likeliest(from: largest, where: isAcceptable)
        } else {
            token = draw(from: largest, where: isAcceptable)
            if token == nil, isRestricted {
                judge(logits.count, isOrdered: false, isAcceptable)
                let best = self.best(among: logits.count, isOrdered: false)
                if logits[best] > -.infinity { token = draw(from: best, where: isAcceptable) }
            }
        }
        if let token { history.append(token) }
        return token
    }

    private mutating func likeliest(from largest: Int, where isAcceptable: (Int32) -> Bool) -> Int32? {
        var (best, tries) = (largest, 0)
        while logits[best] > -.infinity {
            if isAcceptable(Int32(best)) { return Int32(best) }
            logits[best] = -.infinity
            tries += 1
            if tries == Self.mostTries { judge(logits.count, isOrdered: false, isAcceptable) }
            best = self.best(among: logits.count, isOrdered: false)
        }
        return nil
    }

    private mutating func draw(from likeliest: Int, where isAcceptable: (Int32) -> Bool) -> Int32? {
        let count = keep(largest: Double(logits[likeliest]))
        var (best, tries) = (likeliest, 0)
        while logits[best] > -.infinity {
            let token = choose(among: count, largest: Double(logits[best]), isOrdered: isRestricted)
            if isAcceptable(token) { return token }
            logits[Int(token)] = -.infinity
            tries += 1
            if tries == Self.mostTries { judge(count, isOrdered: isRestricted, isAcceptable) }
            best = self.best(among: count, isOrdered: isRestricted)
        }
        return nil
    }

    /// Puts aside what isn't acceptable.
    private mutating func judge(_ count: Int, isOrdered: Bool, _ isAcceptable: (Int32) -> Bool) {
        for position in 0..<count {
            let id = id(at: position, isOrdered: isOrdered)
            if logits[id] > -.infinity, !isAcceptable(Int32(id)) { logits[id] = -.infinity }
        }
    }

    /// The id of the largest logit, the lower id among equals.
    private func best(among count: Int, isOrdered: Bool) -> Int {
        var best = id(at: 0, isOrdered: isOrdered)
        for position in 1..<max(1, count) {
            let id = id(at: position, isOrdered: isOrdered)
            if logits[id] > logits[best] || (logits[id] == logits[best] && id < best) { best = id }
        }
        return best
    }

    // MARK: Choices

    /// The id at a position of those that can be drawn. Kept ids stand at the end of `order`, the likeliest last.
    private func id(at position: Int, isOrdered: Bool) -> Int {
        isOrdered ? Int(order[order.count - 1 - position]) : position
    }

    /// Draws one of `count` ids by their weights at the temperature.
    private mutating func choose(among count: Int, largest: Double, isOrdered: Bool) -> Int32 {
        var total = 0.0
        for position in 0..<count {
            let logit = Double(logits[id(at: position, isOrdered: isOrdered)])
            let weight = exponential((logit - largest) / parameters.temperature)
            weights[position] = weight
            total += weight
        }
        let target = random.nextUnit() * total
        var sum = 0.0
        for position in 0..<count {
            sum += weights[position]
            if sum > target { return Int32(id(at: position, isOrdered: isOrdered)) }
        }
        // Only rounding leads here: the last id that can be drawn.
        let last = (0..<count).last { weights[$0] > 0 } ?? 0
        return Int32(id(at: last, isOrdered: isOrdered))
    }

    /// Applies top-k, top-p and min-p. Takes ids from the heap in falling order until one of them says enough, and
    /// returns how many were kept, at least one.
    private mutating func keepLikeliest(largest: Double) -> Int {
        let count = logits.count
        var total = 0.0
        for id in 0..<count {
            order[id] = Int32(id)
            weights[id] = exponential(Double(logits[id]) - largest)
            total += weights[id]
        }
        for place in stride(from: count / 2 - 1, through: 0, by: -1) { siftDown(from: place, count: count) }

        var kept = 0
        let most = parameters.topK > 0 ? min(parameters.topK, count) : count
        if parameters.topK > 0 && parameters.topP < 1 {
            // top-p counts shares of what top-k keeps.
            total = 0
            for _ in 0..<most {
                total += weights[Int(order[0])]
                takeLargest(kept: kept)
                kept += 1
            }
            return keepShare(of: total, among: most)
        }
        var sum = 0.0
        while kept < most {
            let weight = weights[Int(order[0])]
            // The likeliest weighs exactly 1, so min-p is the least weight.
            if kept > 0 && (weight < parameters.minP || (parameters.topP < 1 && sum >= parameters.topP * total)) {
                break
            }
            sum += weight
            takeLargest(kept: kept)
            kept += 1
        }
        return kept
    }

    /// Applies top-p and min-p to `count` ids that are in order already.
    private func keepShare(of total: Double, among count: Int) -> Int {
        var sum = 0.0
        for position in 0..<count {
            let weight = weights[Int(order[order.count - 1 - position])]
            if position > 0 && (weight < parameters.minP || sum >= parameters.topP * total) { return position }
            sum += weight
        }
        return count
    }

    /// Moves the heap's largest behind it.
    private mutating func takeLargest(kept: Int) {
        let last = order.count - 1 - kept
        order.swapAt(0, last)
        siftDown(from: 0, count: last)
    }

    private mutating func siftDown(from start: Int, count: Int) {
        var place = start
        while true {
            var largest = place
            let left = 2 * place + 1
            if left < count, precedes(order[left], order[largest]) { largest = left }
            if left + 1 < count, precedes(order[left + 1], order[largest]) { largest = left + 1 }
            guard largest != place else { return }
            order.swapAt(place, largest)
            place = largest
        }
    }

    private func precedes(_ left: Int32, _ right: Int32) -> Bool {
        let (first, second) = (logits[Int(left)], logits[Int(right)])
        return first > second || (first == second && left < right)
    }
}

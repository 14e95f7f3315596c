import Container

extension Router {
    /// Chooses as `choose` does; then experts in memory may take the places of others, and what isn't in memory may be
    /// left out.
    ///
    /// Groups are chosen as ever, and a selection bias counts. Weights come from the router's own scores, and are
    /// normalised again only if the model normalises them.
    ///
    /// - Parameters:
    ///   - preferences: [experts], scratch.
    ///   - residents: [experts], not 0 for what is in memory.
    ///   - experts: [expertsPerToken], on return the chosen experts, best first; −1, which weighs nothing, for one that is
    ///     left out.
    package func choose(
        scores: inout MutableSpan<Float>, ranking: inout MutableSpan<Float>, preferences: inout MutableSpan<Float>,
        experts: inout MutableSpan<Int32>, weights: inout MutableSpan<Float>, by lossy: LossyRouting,
        residents: Span<Int32>
    ) -> LossyRouting.Use {
        if ranksByLogits {
            for expert in 0..<expertCount {
                preferences[expert] = unsafe scores[expert] + (logitBias?[expert] ?? 0)
            }
        }
        choose(scores: &scores, ranking: &ranking, experts: &experts, weights: &weights)
        var use = LossyRouting.Use()
        use.choiceCount = expertsPerToken
        guard expertsPerToken > LossyRouting.untouchedCount else { return use }

        if lossy.preferResident > 0 {
            use.substitutedCount = substitute(scores, ranking, &preferences, &experts, lossy, residents)
            if use.substitutedCount > 0 { weigh(scores, experts, &weights) }
        }
        if lossy.dropCold > 0 {
            use.droppedCount = drop(&experts, weights, lossy, residents)
            if use.droppedCount > 0 { weigh(scores, experts, &weights) }
        }
        return use
    }

    /// A softmax has the order of its logits, which are what a part of a range means something for.
    private var ranksByLogits: Bool { configuration.scoring == .softmax && (unsafe bias == nil) }

    /// Chooses again below the untouched ranks. Returns how many experts are new.
    private func substitute(
        _ scores: borrowing MutableSpan<Float>, _ ranking: borrowing MutableSpan<Float>,
        _ preferences: inout MutableSpan<Float>, _ experts: inout MutableSpan<Int32>, _ lossy: LossyRouting,
        _ residents: Span<Int32>
    ) -> Int {
        var (least, most) = (Float.infinity, -Float.infinity)
        for expert in 0..<expertCount {
            let value = ranksByLogits ? preferences[expert] : scores[expert]
            least = min(least, value)
            most = max(most, value)
            if !ranksByLogits { preferences[expert] = selectionValue(scores, expert) }
            // What is outside the groups stays there.
            if preferences[expert].isNaN || ranking[expert] == -.infinity { preferences[expert] = -.infinity }
        }
        let bonus = lossy.preferResident * (most - least)
        guard bonus.isFinite else { return 0 }

        for rank in 0..<LossyRouting.untouchedCount { preferences[Int(experts[rank])] = .nan }
        var substituted = 0
        for rank in LossyRouting.untouchedCount..<expertsPerToken {
            let expert = takePreferred(&preferences, bonus: bonus, residents)
            // The router's own choice left a NaN in the ranking.
            if !ranking[expert].isNaN { substituted += 1 }
            experts[rank] = Int32(truncatingIfNeeded: expert)
        }
        sortBestFirst(&experts, scores)
        return substituted
    }

    /// The best of those that aren't marked with NaN, which it then is. Values are compared as they are between experts
    /// that are both in memory, or both not: a sum would round, and make equals of what differs.
    private func takePreferred(
        _ preferences: inout MutableSpan<Float>, bonus: Float, _ residents: Span<Int32>
    ) -> Int {
        var (resident, other) = (-1, -1)
        for expert in 0..<expertCount where !preferences[expert].isNaN {
            if residents[expert] != 0 {
                if resident < 0 || preferences[expert] > preferences[resident] { resident = expert }
            } else {
                if other < 0 || preferences[expert] > preferences[other] { other = expert }
            }
        }
        var best = max(resident, other)
        if resident >= 0, other >= 0 {
            let raised = preferences[resident] + bonus
            let wins = raised > preferences[other] || (raised == preferences[other] && resident < other)
            best = wins ? resident : other
        }
        precondition(best >= 0, "a token takes no more experts than there are")
        preferences[best] = .nan
        return best
    }

    /// The ranks below the untouched ones, in the router's own order, in which outputs are summed.
    private func sortBestFirst(_ experts: inout MutableSpan<Int32>, _ scores: borrowing MutableSpan<Float>) {
        let first = LossyRouting.untouchedCount
        for end in first + 1..<max(expertsPerToken, first + 1) {
            var rank = end
            while rank > first {
                let (upper, lower) = (Int(experts[rank - 1]), Int(experts[rank]))
                let (better, worse) = (selectionValue(scores, upper), selectionValue(scores, lower))
                guard worse > better || (worse == better && lower < upper) else { break }
                experts.swapAt(rank - 1, rank)
                rank -= 1
            }
        }
    }

    /// Leaves out what isn't in memory and weighs little. Returns how many.
    private func drop(
        _ experts: inout MutableSpan<Int32>, _ weights: borrowing MutableSpan<Float>, _ lossy: LossyRouting,
        _ residents: Span<Int32>
    ) -> Int {
        var total: Float = 0
        for rank in 0..<expertsPerToken { total += weights[rank] }
        let limit = lossy.dropCold * total / Float(expertsPerToken)
        var dropped = 0
        for rank in LossyRouting.untouchedCount..<expertsPerToken
        where residents[Int(experts[rank])] == 0 && weights[rank] < limit {
            experts[rank] = -1
            dropped += 1
        }
        return dropped
    }
}

import ExpertPaging

extension LoadedModel {
    /// Whether a pass has sequences that the routers may help to read less. A routing that takes the routers' place is
    /// left as it is.
    func helpsReading(_ pass: ForwardPass) -> Bool { pass.isLossy && routing == nil }

    /// What is in memory, as every row of the pass finds it: whoever steps along doesn't change it.
    func markResidents(layer: Int, _ choice: Router) {
        var marks = unsafe MutableSpan(_unsafeStart: scratch.integers(.residents), count: choice.expertCount)
        experts.markResidents(layer: layer, &marks)
    }

    /// One row's choice; what it came to stands in `lossyUses` [sequences, 2].
    func chooseLossily(
        _ choice: Router, row: Int, by lossy: LossyRouting, scores: inout MutableSpan<Float>,
        ranking: inout MutableSpan<Float>, experts: inout MutableSpan<Int32>, weights: inout MutableSpan<Float>
    ) {
        let total = choice.expertCount
        var preferences = unsafe MutableSpan(
            _unsafeStart: scratch.floats(.preferences) + row * total, count: total)
        let residents = unsafe Span(_unsafeStart: UnsafePointer(scratch.integers(.residents)), count: total)
        let use = choice.choose(
            scores: &scores, ranking: &ranking, preferences: &preferences, experts: &experts, weights: &weights,
            by: lossy, residents: residents)
        let uses = unsafe scratch.integers(.lossyUses) + 2 * row
        unsafe uses[0] = Int32(truncatingIfNeeded: use.substitutedCount)
        unsafe uses[1] = Int32(truncatingIfNeeded: use.droppedCount)
    }

    /// Counts what a layer's choices came to.
    func countLossyUses(_ choice: Router, _ pass: ForwardPass) {
        let uses = unsafe scratch.integers(.lossyUses)
        var sum = LossyRouting.Use()
        for (row, place) in pass.rows.enumerated() where !place.lossy.isOff {
            var use = LossyRouting.Use()
            use.choiceCount = choice.expertsPerToken
            use.substitutedCount = unsafe Int(uses[2 * row])
            use.droppedCount = unsafe Int(uses[2 * row + 1])
            pass.count(use, of: place.sequence)
            sum += use
        }
        experts.countHelp(substituted: sum.substitutedCount, dropped: sum.droppedCount)
    }
}

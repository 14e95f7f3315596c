/// Divides types between the groups of a model so that the estimated loss is least for a given cost.
///
/// The estimate is a sum: a group contributes its kind's sensitivity, divided by the kind's groups, times the relative
/// squared error of its weights. It starts with the coarsest type everywhere and spends what is left on the step that
/// saves the most loss for its cost, again and again (for a convex curve a group that is as good as the optimum).
struct TypeAllocation {
    let inventory: WeightInventory
    /// From coarse to fine, `ladder[0]` for everything at first.
    let ladder: [ConversionType]
    /// Whether a group may get more than the coarsest.
    let isOpen: (WeightInventory.Group) -> Bool
    var sensitivity: (WeightKind) -> Double = { $0.sensitivity }
    /// The relative squared error of a group's weights in a type.
    let error: (_ group: Int, ConversionType) -> Double
    let cost: (WeightInventory.Group, ConversionType) -> Double

    /// - Parameter limit: of the groups' costs together; if not even the coarsest types keep it, they are the result.
    func types(limit: Double) -> [ConversionType] {
        let groups = inventory.groups
        var steps = groups.map { _ in 0 }
        var total = groups.reduce(0.0) { $0 + cost($1, ladder[0]) }
        let counts = Dictionary(groups.map { ($0.kind, 1) }, uniquingKeysWith: +)
        let sensitivities = groups.map { sensitivity($0.kind) / Double(counts[$0.kind] ?? 1) }
        while true {
            var best: (group: Int, step: Int, cost: Double)?
            var bestRate = 0.0
            for index in groups.indices where isOpen(groups[index]) {
                let now = ladder[steps[index]]
                // A type further up may be the better bargain when the next one gains nothing.
                for step in ladder.indices.dropFirst(steps[index] + 1) {
                    let price = cost(groups[index], ladder[step]) - cost(groups[index], now)
                    let gain = sensitivities[index] * (error(index, now) - error(index, ladder[step]))
                    guard gain > 0, total + price <= limit else { continue }
                    let rate = gain / max(price, .leastNormalMagnitude)
                    if rate > bestRate {
                        best = (index, step, price)
                        bestRate = rate
                    }
                }
            }
            guard let best else { break }
            steps[best.group] = best.step
            total += best.cost
        }
        return steps.map { ladder[$0] }
    }
}

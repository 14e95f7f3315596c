/// How often an expert that is asked for will be in memory, before anything was measured: the least and the most that
/// the policy reached on the recordings of five models (`README.md` beside this file).
package enum HitRateForecast {
    /// Part of the experts that have a slot; least and most, 0…1. One conversation each, so long ones on changing subjects fare worse.
    private static let known: [(fraction: Double, least: Double, most: Double)] = [
        (0, 0, 0), (0.03, 0.14, 0.38), (0.0625, 0.28, 0.55), (0.125, 0.45, 0.71), (0.25, 0.62, 0.86),
        (0.375, 0.74, 0.95), (0.5, 0.83, 0.97), (1, 1, 1),
    ]

    package static func range(fraction: Double) -> ClosedRange<Double> {
        let fraction = min(max(fraction, 0), 1)
        guard let upper = known.firstIndex(where: { $0.fraction >= fraction }), upper > 0 else { return 0...0 }
        let (from, to) = (known[upper - 1], known[upper])
        let part = (fraction - from.fraction) / (to.fraction - from.fraction)
        let least = from.least + part * (to.least - from.least)
        return least...max(least, from.most + part * (to.most - from.most))
    }
}

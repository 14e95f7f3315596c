package import Checkpoint
package import Compute

/// Picks types within a size: a first pass measures what each type would lose where, and the bits go to where they save
/// the most (`TypeAllocation`), weighted by the kinds' sensitivities.
package struct TargetRecipe: Sendable {
    /// In order; the last matches everything.
    package let rules: [FormatRule]
    /// Bits a weight that came of it: every stored weight and scale, but no padding.
    package let bitsPerWeight: Double

    /// - Parameters:
    ///   - targetBits: bits a weight, norms and routers included.
    ///   - fixed: what is decided already; the size holds for all together.
    /// - Throws: `badRule` if int4 for all the rest is larger, `CheckpointError`, or `cancelled`.
    package init(
        _ checkpoint: Checkpoint, targetBits: Double, fixed: FixedTypes = FixedTypes(), importance: ImportanceMatrix?,
        pool: ThreadPool,
        cancellation: Cancellation = Cancellation()
    ) throws {
        let inventory = WeightInventory(checkpoint.configuration, fixed: fixed)
        let weightCount = Double(inventory.weightCount)
        let least = inventory.bitCount(inventory.groups.map { _ in .int4 }) / weightCount
        guard least <= targetBits else {
            throw QuantizerError(
                code: .badRule,
                message: "\(targetBits) bits a weight are too few: int4 throughout takes "
                    + "\((least * 1000).rounded(.up) / 1000), norms, routers and what your rules fix included",
                advice: "Give more bits, or coarser rules, or --pure for the least")
        }
        let survey = try ErrorSurvey(
            checkpoint, inventory, importance: importance, pool: pool, cancellation: cancellation)
        let types = TypeAllocation(
            inventory: inventory, ladder: ErrorSurvey.ladder, isOpen: { _ in true },
            error: { survey.errors[$0][ErrorSurvey.ladder.firstIndex(of: $1) ?? 0] }, cost: { $0.bitCount($1) }
        ).types(limit: targetBits * weightCount - inventory.bitCount([]))
        rules = inventory.rules(types, otherwise: .int4)
        bitsPerWeight = inventory.bitCount(types) / weightCount
    }
}

extension WeightInventory {
    /// Bits of every weight and its share of a scale, those of what is never quantised included.
    func bitCount(_ types: [ConversionType]) -> Double {
        zip(groups, types).reduce(fixedBitCount) { $0 + $1.0.bitCount($1.1) }
    }
}

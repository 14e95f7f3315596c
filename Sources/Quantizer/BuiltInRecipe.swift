package import Container

/// The recipes that need no rules of one's own.
package enum BuiltInRecipe: String, Sendable, CaseIterable {
    /// All that every token reads at int8, and `down` of the first quarter of the sparse layers.
    case quality
    /// At int8 the embedding and the latents' projections, then what gains most for its size, as long as a token reads at
    /// most a tenth more than with `pure`.
    case balanced
    /// The same within a fiftieth.
    case small
    /// One type throughout.
    case pure

    /// Bytes of weights that a token may read, against `pure`.
    package var greatestGrowth: Double? {
        switch self {
        case .quality: nil
        case .balanced: 1.10
        case .small: 1.02
        case .pure: 1
        }
    }

    /// - Parameter type: what most matrices become. Only `int4` is mixed with others.
    package func rules(for configuration: ModelConfiguration, type: ConversionType) -> [FormatRule] {
        let inventory = WeightInventory(configuration)
        return inventory.rules(types(inventory, type), otherwise: type)
    }

    private func types(_ inventory: WeightInventory, _ type: ConversionType) -> [ConversionType] {
        let pure = inventory.groups.map { _ in type }
        guard type == .int4 else { return pure }
        if self == .quality {
            let sparse = inventory.groups.filter { $0.kind == .expertDown }.compactMap(\.layer).sorted()
            let first = Set(sparse.prefix((sparse.count + 3) / 4))
            return inventory.groups.map { group in
                switch group.kind {
                case .expertGateUp: .int4
                case .expertDown: group.layer.map(first.contains) == true ? .int8 : .int4
                default: .int8
                }
            }
        }
        guard let growth = greatestGrowth, growth > 1 else { return pure }
        let whole = inventory.byteCountPerToken(pure)
        // The routed experts are nearly the whole file, so they stay coarse.
        return TypeAllocation(
            inventory: inventory, ladder: [.int4, .int8], isOpen: { !$0.kind.isRoutedExpert },
            error: { group, type in
                guard type == .int4 else { return 0 }
                // These go first: what is lost in a latent is lost for every head.
                return inventory.groups[group].kind.isLatentProjection ? 100 : 1
            }, cost: { $0.byteCountPerToken($1) }
        ).types(limit: whole * growth - Double(inventory.fixedByteCount))
    }
}

package import Container

/// The recipes that need no rules of one's own: which matrices get the next finer type than most, int8 where most are
/// int4, and bf16 where they are int8.
package enum BuiltInRecipe: String, Sendable, CaseIterable {
    /// All that every token reads, and `down` of the first quarter of the sparse layers.
    case quality
    /// The embedding (and with int4 the latents' projections), then what gains most for its size, as long as a token
    /// reads at most a tenth more than with `pure`.
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

    /// What is used where nobody says: other types than int4 and int8 aren't mixed.
    package static func standard(for type: ConversionType) -> BuiltInRecipe { type.finer == nil ? .pure : .balanced }

    /// - Parameter type: what most matrices become. Only `int4` and `int8` are mixed with others.
    package func rules(for configuration: ModelConfiguration, type: ConversionType) -> [FormatRule] {
        let inventory = WeightInventory(configuration)
        return inventory.rules(types(inventory, type), otherwise: type)
    }

    private func types(_ inventory: WeightInventory, _ type: ConversionType) -> [ConversionType] {
        let pure = inventory.groups.map { _ in type }
        guard let finer = type.finer else { return pure }
        if self == .quality {
            let sparse = inventory.groups.filter { $0.kind == .expertDown }.compactMap(\.layer).sorted()
            let first = Set(sparse.prefix((sparse.count + 3) / 4))
            return inventory.groups.map { group in
                switch group.kind {
                case .expertGateUp: type
                case .expertDown: group.layer.map(first.contains) == true ? finer : type
                default: finer
                }
            }
        }
        guard let growth = greatestGrowth, growth > 1 else { return pure }
        let whole = inventory.byteCountPerToken(pure)
        // The routed experts are nearly the whole file, so they stay coarse.
        return TypeAllocation(
            inventory: inventory, ladder: [type, finer], isOpen: { !$0.kind.isRoutedExpert },
            sensitivity: { type == .int4 ? $0.sensitivity : $0.fineSensitivity },
            error: { group, step in
                guard step == type else { return 0 }
                // At 4 bits these go first: what is lost in a latent is lost for every head.
                return type == .int4 && inventory.groups[group].kind.isLatentProjection ? 100 : 1
            }, cost: { $0.byteCountPerToken($1) }
        ).types(limit: whole * growth - Double(inventory.fixedByteCount))
    }
}

extension ConversionType {
    /// What a recipe gives the matrices that matter more, where most are of this type.
    fileprivate var finer: ConversionType? {
        switch self {
        case .int4: .int8
        case .int8: .bf16
        case .int4Linear, .int4NonLinear, .nested, .bf16, .f32: nil
        }
    }
}

import Container

/// What a person's own rules decide, before any recipe.
package struct FixedTypes: Sendable {
    private let rules: [FormatRule]
    private let sourceNames: SourceNames

    package init(_ rules: [FormatRule] = [], sourceNames: SourceNames = SourceNames()) {
        self.rules = rules
        self.sourceNames = sourceNames
    }

    /// nil where no rule matches.
    func type(of key: TensorKey) -> ConversionType? {
        guard !rules.isEmpty else { return nil }
        return type([key.description] + (sourceNames[key].map { [$0] } ?? []))
    }

    /// Of gate and up, which share theirs, and of `down`.
    func types(of key: ExpertKey) -> (gateUp: ConversionType?, down: ConversionType?) {
        guard !rules.isEmpty else { return (nil, nil) }
        let own = sourceNames[key] ?? []
        let types = ["gate", "up", "down"].enumerated().map { place, name in
            type(["\(key).\(name)"] + (own.indices.contains(place) ? [own[place]] : []))
        }
        return (types[0] ?? types[1], types[2])
    }

    private func type(_ names: [String]) -> ConversionType? {
        rules.first { rule in names.contains(where: rule.pattern.matches) }?.type
    }
}

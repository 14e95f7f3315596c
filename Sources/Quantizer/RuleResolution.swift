import Container

/// Finds for every matrix the first rule that matches, and for every rule what it did.
struct RuleResolution {
    private(set) var tensorTypes: [TensorKey: ConversionType] = [:]
    private(set) var expertTypes: [[FormatPlan.ExpertTypes]] = []

    private let rules: [FormatRule]
    private let sourceNames: SourceNames
    private var effects: [Effect]
    private var conflict: Conflict?

    /// What became of a rule.
    private enum Effect: Int {
        case matchedNothing
        case matchedUnquantized
        case wasTooLate
        case decided
    }

    /// An expert whose gate and up should differ.
    private struct Conflict {
        var expert: ExpertKey
        var gate: FormatRule
        var up: FormatRule
    }

    init(_ rules: [FormatRule], _ sourceNames: SourceNames) {
        self.rules = rules
        self.sourceNames = sourceNames
        effects = rules.map { _ in .matchedNothing }
    }

    mutating func resolve(_ configuration: ModelConfiguration) {
        for tensor in configuration.storedTensors {
            let names = [tensor.key.description] + (sourceNames[tensor.key].map { [$0] } ?? [])
            if tensor.mustBeF32 {
                for index in rules.indices where matches(index, names) { note(index, .matchedUnquantized) }
            } else if let rule = firstRule(names) {
                tensorTypes[tensor.key] = rule.type
            }
        }
        expertTypes = configuration.storedLayers.map { layer in
            guard configuration.isSparse(layer), let experts = configuration.experts else { return [] }
            return (0..<experts.routedExpertCount).map {
                types(of: ExpertKey(layer: layer, expert: $0), isGated: configuration.activation.isGated)
            }
        }
    }

    private mutating func types(of key: ExpertKey, isGated: Bool) -> FormatPlan.ExpertTypes {
        let own = sourceNames[key] ?? []
        let found = ["gate", "up", "down"].enumerated().map { place, name -> FormatRule? in
            // What isn't there decides nothing.
            guard isGated || name != "gate" else { return nil }
            return firstRule(["\(key).\(name)"] + (own.indices.contains(place) ? [own[place]] : []))
        }
        if isGated, let gate = found[0], let up = found[1], gate.type != up.type, conflict == nil {
            conflict = Conflict(expert: key, gate: gate, up: up)
        }
        return FormatPlan.ExpertTypes(gateUp: found[1]?.type ?? .f32, down: found[2]?.type ?? .f32)
    }

    private mutating func firstRule(_ names: [String]) -> FormatRule? {
        var first: FormatRule?
        for index in rules.indices where first == nil || effects[index] == .matchedNothing {
            guard matches(index, names) else { continue }
            note(index, first == nil ? .decided : .wasTooLate)
            if first == nil { first = rules[index] }
        }
        return first
    }

    private func matches(_ index: Int, _ names: [String]) -> Bool {
        names.contains(where: rules[index].pattern.matches)
    }

    private mutating func note(_ index: Int, _ effect: Effect) {
        if effect.rawValue > effects[index].rawValue { effects[index] = effect }
    }

    /// - Parameter ownCount: how many of the rules are the person's own, and so must have decided something.
    func check(ownCount: Int) throws(QuantizerError) {
        for index in 0..<ownCount {
            let rule = rules[index]
            switch effects[index] {
            case .decided: continue
            case .wasTooLate:
                throw QuantizerError(
                    code: .badRule,
                    message: "the rule \(rule.named) decides nothing: earlier rules have all it matches",
                    advice: "The first rule that matches wins, so put the particular before the general")
            case .matchedUnquantized:
                throw QuantizerError(
                    code: .badRule, message: "the rule \(rule.named) matches only norms, biases or routers",
                    advice: "They always stay f32; leave the rule out")
            case .matchedNothing:
                throw QuantizerError(
                    code: .badRule, message: "the rule \(rule.named) matches no tensor of this model",
                    advice: "--dry-run lists the names")
            }
        }
        if let conflict {
            throw QuantizerError(
                code: .badRule,
                message: "gate and up of one expert share one format, but in \(conflict.expert) gate gets "
                    + "\(conflict.gate.type.rawValue) from \(conflict.gate.named) and up \(conflict.up.type.rawValue) from "
                    + conflict.up.named,
                advice: "Name both: {gate,up}")
        }
    }
}

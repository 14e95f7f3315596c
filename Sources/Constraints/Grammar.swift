/// Which texts an answer may be: an automaton over symbols, whose rules call each other.
///
/// A symbol is a byte, or a special token of the vocabulary that counts as one: a *marker*. Every rule but the first takes
/// at least one symbol, which is what bounds a `GrammarMatcher`'s work. Whatever can be begun can be ended: a rule is
/// entered only as deep as its shortest text allows.
package final class Grammar: Sendable {
    /// A byte, or 256 and more for a marker.
    package typealias Symbol = UInt16
    package typealias StateID = Int32
    package typealias RuleID = Int32

    /// A thread in a rule has one register, which is 0 in the beginning.
    package enum State: Sendable {
        case symbol(Symbol, next: StateID)
        case set(Int32, next: StateID)
        /// A set, whose byte goes into the hash in the register.
        case hashed(Int32, next: StateID)

        // Those that take nothing.

        /// All of a range of `targets`.
        case fork(first: Int32, count: Int32)
        case call(RuleID, next: StateID)
        /// The register is 0 from here on.
        case reset(next: StateID)
        case count(next: StateID)
        /// Only where the register is at least so much.
        case atLeast(Int32, next: StateID)
        /// Only where the register is less.
        case below(Int32, next: StateID)
        case beginKey(next: StateID)
        /// Only where the object has no such key yet, nor one of `keySets[excluded]`.
        case endKey(excluded: Int32, next: StateID)
        /// Of the rule.
        case end
    }

    package struct Rule: Sendable {
        package var start: StateID
        /// Whether it is an object or an array, so that it counts for the depth.
        package var nests: Bool
    }

    /// Objects and arrays inside each other in a text: fewer than most readers of JSON take.
    package static let mostDepth = 48

    let states: [State]
    let targets: [StateID]
    let sets: [ByteSet]
    let keySets: [Set<UInt64>]
    let rules: [Rule]
    /// By state: how many objects and arrays inside each other the rest of its rule needs at least.
    let heights: [UInt8]

    /// The texts of rule 0.
    ///
    /// Throws if it has none, or only such as nest deeper than `mostDepth`.
    ///
    /// - Parameter path: what the error names.
    package init(_ builder: consuming GrammarBuilder, path: String) throws(GrammarError) {
        states = builder.states
        targets = builder.targets
        sets = builder.sets
        keySets = builder.keySets
        rules = builder.rules
        heights = try Self.heights(states: states, targets: targets, rules: rules, path: path)
        guard heights[Int(rules[0].start)] <= Self.mostDepth else {
            throw GrammarError(
                path, "no text fits this, or only one with more than \(Self.mostDepth) objects and arrays in each other"
            )
        }
    }

    /// Looked for until nothing changes, to and fro: each direction settles what stands in its order at once.
    private static func heights(
        states: [State], targets: [StateID], rules: [Rule], path: String
    ) throws(GrammarError) -> [UInt8] {
        let never = UInt8(mostDepth + 1)
        var heights = [UInt8](repeating: never, count: states.count)
        func height(of state: State) -> UInt8 {
            switch state {
            case .symbol(_, let next), .set(_, let next), .hashed(_, let next), .reset(let next), .count(let next),
                .atLeast(_, let next),
                .below(_, let next), .beginKey(let next), .endKey(_, let next):
                return heights[Int(next)]
            case .fork(let first, let count):
                var least = never
                for place in first..<first + count { least = min(least, heights[Int(targets[Int(place)])]) }
                return least
            case .call(let rule, let next):
                let rule = rules[Int(rule)]
                return max(heights[Int(next)], min(never, heights[Int(rule.start)] + (rule.nests ? 1 : 0)))
            case .end: return 0
            }
        }
        for pass in 0..<256 {
            var isSettled = true
            for place in states.indices {
                let id = pass % 2 == 0 ? place : states.count - 1 - place
                let found = height(of: states[id])
                if found < heights[id] {
                    heights[id] = found
                    isSettled = false
                }
            }
            if isSettled { return heights }
        }
        throw GrammarError(path, "the schema's references are too entangled", isUnsupported: true)
    }
}

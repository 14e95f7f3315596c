/// Puts a grammar together, from its ends to its beginnings: everything is told what comes after it.
package struct GrammarBuilder: Sendable {
    package typealias StateID = Grammar.StateID
    package typealias RuleID = Grammar.RuleID

    /// What a grammar may grow to. A hostile schema comes to no more, and a large one of real life stays far below.
    static let mostStates = 1 << 17
    private static let mostRules = 1 << 13

    private(set) var states: [Grammar.State] = [.end]
    private(set) var targets: [StateID] = []
    private(set) var sets: [ByteSet] = []
    private(set) var keySets: [Set<UInt64>] = []
    private(set) var rules: [Grammar.Rule] = []
    private var knownSets: [ByteSet: Int32] = [:]
    /// The rules of JSON that any schema may need, as far as they are made.
    var common = CommonRules()

    /// Texts that are one token of the vocabulary, which nobody's text can spell.
    package let markers: [String: Grammar.Symbol]
    /// Bytes that JSON strings don't spell, because whoever reads the answer would take them for a marker. All but the last
    /// of each are ASCII.
    package let avoided: [[UInt8]]

    /// - Parameter avoiding: texts that JSON strings don't spell; of each, what ends with its first character beyond ASCII
    ///   counts.
    package init(markers: [String: Grammar.Symbol] = [:], avoiding texts: [String] = []) {
        self.markers = markers
        avoided = texts.map { text in
            let bytes = Array(text.utf8)
            return Array(bytes.prefix((bytes.firstIndex { $0 >= 0x80 } ?? bytes.count) + 1))
        }
        rules.append(Grammar.Rule(start: 0, nests: false))
    }

    /// Where every rule ends, and the answer with rule 0.
    package var end: StateID { 0 }

    package mutating func setRoot(_ start: StateID) { rules[0].start = start }

    static var tooLarge: GrammarError {
        GrammarError("", "the schema is too large: it comes to more than \(mostStates) states", isUnsupported: true)
    }

    // MARK: States

    package mutating func add(_ state: Grammar.State) throws(GrammarError) -> StateID {
        guard states.count < Self.mostStates else { throw Self.tooLarge }
        states.append(state)
        return StateID(states.count - 1)
    }

    /// One of several.
    package mutating func fork(_ branches: [StateID]) throws(GrammarError) -> StateID {
        if branches.count == 1 { return branches[0] }
        let id = try add(.end)
        define(id, branches)
        return id
    }

    /// A state that others lead to before it is defined.
    package mutating func reserve() throws(GrammarError) -> StateID { try add(.fork(first: 0, count: 0)) }

    package mutating func define(_ id: StateID, _ branches: [StateID]) {
        states[Int(id)] = .fork(first: Int32(targets.count), count: Int32(branches.count))
        targets += branches
    }

    package mutating func set(_ set: ByteSet, then next: StateID) throws(GrammarError) -> StateID {
        try add(.set(number(of: set), next: next))
    }

    mutating func hashed(_ set: ByteSet, then next: StateID) throws(GrammarError) -> StateID {
        try add(.hashed(number(of: set), next: next))
    }

    private mutating func number(of set: ByteSet) -> Int32 {
        if let known = knownSets[set] { return known }
        sets.append(set)
        knownSets[set] = Int32(sets.count - 1)
        return Int32(sets.count - 1)
    }

    mutating func keySet(_ names: [String]) -> Int32 {
        keySets.append(Set(names.map { KeyHash.hash($0.utf8) }))
        return Int32(keySets.count - 1)
    }

    // MARK: Rules

    package mutating func reserveRule(nests: Bool = false) throws(GrammarError) -> RuleID {
        guard rules.count < Self.mostRules else {
            throw GrammarError(
                "", "the schema is too large: it comes to more than \(Self.mostRules) objects and arrays",
                isUnsupported: true)
        }
        rules.append(Grammar.Rule(start: 0, nests: nests))
        return RuleID(rules.count - 1)
    }

    package mutating func define(_ rule: RuleID, start: StateID) { rules[Int(rule)].start = start }

    package mutating func call(_ rule: RuleID, then next: StateID) throws(GrammarError) -> StateID {
        try add(.call(rule, next: next))
    }
}

/// FNV-1a, which tells an object's keys apart.
enum KeyHash {
    static let empty: UInt64 = 0xCBF2_9CE4_8422_2325

    static func adding(_ byte: UInt8, to hash: UInt64) -> UInt64 { (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }

    static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 { bytes.reduce(empty) { adding($1, to: $0) } }
}

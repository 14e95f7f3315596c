/// Rules that are made once a grammar.
struct CommonRules: Sendable {
    var space: Grammar.RuleID?
    var string: Grammar.RuleID?
    var number: Grammar.RuleID?
    var integer: Grammar.RuleID?
    var value: Grammar.RuleID?
    var object: Grammar.RuleID?
    var array: Grammar.RuleID?
}

// JSON as RFC 8259 has it, of which these are left out, so that every reader takes an answer: a name twice in an object,
// halves of surrogate pairs, numbers of more than 20 digits before or after the point or an exponent of more than two, and
// more than 64 characters of white space in a row, of which a model that is lost can make any number.
extension GrammarBuilder {
    private static let mostSpace = 64

    /// White space, or none.
    package mutating func optionalSpace(then next: StateID) throws(GrammarError) -> StateID {
        let rule = try common(\.space) { (builder) throws(GrammarError) in
            let space = ByteSet(" \t\n\r".utf8)
            var rest = builder.end
            for _ in 1..<Self.mostSpace {
                rest = try builder.fork([builder.end, builder.set(space, then: rest)])
            }
            return try builder.set(space, then: rest)
        }
        return try fork([call(rule, then: next), next])
    }

    /// A JSON object with any members.
    package mutating func anyObject() throws(GrammarError) -> RuleID {
        try common(\.object, nests: true) { (builder) throws(GrammarError) in
            let value = try builder.anyValue()
            let members = try builder.freeMembers(apartFrom: []) { (builder, next) throws(GrammarError) in
                try builder.call(value, then: next)
            }
            let inner = try builder.fork([builder.text("}", then: builder.end), members])
            return try builder.text("{", then: builder.optionalSpace(then: inner))
        }
    }

    /// Any JSON value.
    package mutating func anyValue() throws(GrammarError) -> RuleID {
        try common(\.value) { (builder) throws(GrammarError) in
            var branches: [StateID] = []
            for rule in [
                try builder.anyString(), try builder.anyNumber(), try builder.anyObject(), try builder.anyArray(),
            ] {
                branches.append(try builder.call(rule, then: builder.end))
            }
            for word in ["true", "false", "null"] { branches.append(try builder.text(word, then: builder.end)) }
            return try builder.fork(branches)
        }
    }

    mutating func anyArray() throws(GrammarError) -> RuleID {
        try common(\.array, nests: true) { (builder) throws(GrammarError) in
            let value = try builder.anyValue()
            return try builder.array(counts: (0, nil)) { (builder, next) throws(GrammarError) in
                try builder.call(value, then: next)
            }
        }
    }

    mutating func anyString() throws(GrammarError) -> RuleID {
        try common(\.string) { (builder) throws(GrammarError) in try builder.string(counts: nil) }
    }

    mutating func string(counts: (least: Int32, most: Int32?)?) throws(GrammarError) -> StateID {
        let close = try text("\"", then: end)
        return try text("\"", then: characters(.string, avoiding: avoided, counts: counts, then: close))
    }

    /// An array, from its bracket to its bracket; the register counts its items.
    mutating func array(
        counts: (least: Int32, most: Int32?), _ item: (inout Self, StateID) throws(GrammarError) -> StateID
    ) throws(GrammarError) -> StateID {
        let close = try text("]", then: end)
        if counts.most == 0 { return try text("[", then: optionalSpace(then: close)) }
        let behind = try reserve()
        let items = try item(&self, add(.count(next: optionalSpace(then: behind))))
        var more = try text(",", then: optionalSpace(then: items))
        if let most = counts.most { more = try add(.below(most, next: more)) }
        define(behind, [more, try add(.atLeast(counts.least, next: close))])
        return try text("[", then: optionalSpace(then: counts.least == 0 ? fork([items, close]) : items))
    }

    /// One member or more with keys that the model thinks of, to the object's brace.
    mutating func freeMembers(
        apartFrom names: [String], _ value: (inout Self, StateID) throws(GrammarError) -> StateID
    ) throws(GrammarError) -> StateID {
        let behind = try reserve()
        let inner = try value(&self, optionalSpace(then: behind))
        let colon = try text(":", then: optionalSpace(then: inner))
        let close = try text("\"", then: add(.endKey(excluded: keySet(names), next: colon)))
        let key = try add(.beginKey(next: characters(.key, avoiding: avoided, then: close)))
        let member = try text("\"", then: key)
        define(behind, [try text("}", then: end), try text(",", then: optionalSpace(then: member))])
        return member
    }

    /// One byte or more of a set, then a marker, where the rule had no such key before.
    package mutating func key(
        of set: ByteSet, before text: String, then next: StateID
    ) throws(GrammarError) -> StateID {
        let loop = try reserve()
        let first = try hashed(set, then: loop)
        define(loop, [first, try marker(text, then: add(.endKey(excluded: keySet([]), next: next)))])
        return try add(.beginKey(next: first))
    }

    /// A rule that is made when it is first asked for. It may need itself.
    mutating func common(
        _ place: WritableKeyPath<CommonRules, RuleID?>, nests: Bool = false,
        _ start: (inout Self) throws(GrammarError) -> StateID
    ) throws(GrammarError) -> RuleID {
        if let known = common[keyPath: place] { return known }
        let rule = try reserveRule(nests: nests)
        common[keyPath: place] = rule
        define(rule, start: try start(&self))
        return rule
    }
}

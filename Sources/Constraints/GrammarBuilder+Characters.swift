/// Where characters stand.
package enum CharacterForm: Sendable {
    /// Between a JSON string's quotes, escapes included.
    case string
    /// Between a key's quotes, without escapes, so that each key has one spelling.
    case key
    /// In plain text.
    case plain
}

extension GrammarBuilder {
    /// Characters in UTF-8 (RFC 3629), none of which is half of a surrogate pair.
    ///
    /// - Parameters:
    ///   - avoided: bytes that they don't spell, each all ASCII but for its last.
    ///   - counts: how many characters; nil where any number will do. The register counts them.
    package mutating func characters(
        _ form: CharacterForm, avoiding avoided: [[UInt8]], counts: (least: Int32, most: Int32?)? = nil,
        then next: StateID
    ) throws(GrammarError) -> StateID {
        let search = LiteralSearch(avoided)
        let loops = try (0..<search.stateCount).map { _ throws(GrammarError) in try reserve() }
        var behind: [StateID] = []
        for loop in loops { behind.append(counts == nil ? loop : try add(.count(next: loop))) }
        let escapes = form == .string ? [try escapes(then: behind[0])] : []
        let allLeads = ByteSet(0xC2...0xF4)
        let beyond = try beyondASCII(form, leads: allLeads, then: behind[0])
        for place in loops.indices {
            var branches = escapes
            for (set, next) in search.steps(from: place, among: Self.plainBytes(form)) {
                if let next { branches.append(try byte(form, set, then: behind[next])) }
            }
            var leads = allLeads
            for (set, next) in search.steps(from: place, among: allLeads) where next == nil {
                leads = leads.subtracting(set)
            }
            branches += leads == allLeads ? beyond : try beyondASCII(form, leads: leads, then: behind[0])
            guard let counts else {
                define(loops[place], branches + [next])
                continue
            }
            var more = try fork(branches)
            if let most = counts.most { more = try add(.below(most, next: more)) }
            define(loops[place], [more, try add(.atLeast(counts.least, next: next))])
        }
        return counts == nil ? loops[0] : try add(.reset(next: loops[0]))
    }

    private static func plainBytes(_ form: CharacterForm) -> ByteSet {
        form == .plain ? ByteSet(0...0x7F) : ByteSet(0x20...0x7F).subtracting(ByteSet("\"\\".utf8))
    }

    private mutating func byte(_ form: CharacterForm, _ set: ByteSet, then next: StateID) throws(GrammarError)
        -> StateID
    {
        form == .key ? try hashed(set, then: next) : try self.set(set, then: next)
    }

    /// Characters of several bytes (Unicode, table 3-7).
    private mutating func beyondASCII(
        _ form: CharacterForm, leads: ByteSet, then next: StateID
    ) throws(GrammarError) -> [StateID] {
        let tail = ByteSet(0x80...0xBF)
        let one = try byte(form, tail, then: next)
        let two = try byte(form, tail, then: one)
        let three = try byte(form, tail, then: two)
        let kinds: [(leads: ByteSet, second: ByteSet?, next: StateID)] = [
            (ByteSet(0xC2...0xDF), nil, one),
            (ByteSet(0xE0...0xE0), ByteSet(0xA0...0xBF), one),
            (ByteSet(0xE1...0xEC, 0xEE...0xEF), nil, two),
            (ByteSet(0xED...0xED), ByteSet(0x80...0x9F), one),
            (ByteSet(0xF0...0xF0), ByteSet(0x90...0xBF), two),
            (ByteSet(0xF1...0xF3), nil, three),
            (ByteSet(0xF4...0xF4), ByteSet(0x80...0x8F), two),
        ]
        var starts: [StateID] = []
        for kind in kinds {
            let first = kind.leads.subtracting(ByteSet.all.subtracting(leads))
            guard !first.isEmpty else { continue }
            let behind = if let second = kind.second { try byte(form, second, then: kind.next) } else { kind.next }
            starts.append(try byte(form, first, then: behind))
        }
        return starts
    }

    private mutating func escapes(then next: StateID) throws(GrammarError) -> StateID {
        let digit = ByteSet("0123456789abcdefABCDEF".utf8)
        func hex(_ count: Int, _ builder: inout GrammarBuilder, then next: StateID) throws(GrammarError) -> StateID {
            var next = next
            for _ in 0..<count { next = try builder.set(digit, then: next) }
            return next
        }
        let two = try hex(2, &self, then: next)
        let three = try set(digit, then: two)
        let low = try bytes("\\u".utf8, then: set(ByteSet("dD".utf8), then: set(ByteSet("cdefCDEF".utf8), then: two)))
        let high = try set(ByteSet("89abAB".utf8), then: hex(2, &self, then: low))
        let surrogates = try set(ByteSet("dD".utf8), then: fork([high, set(ByteSet("01234567".utf8), then: two)]))
        let others = try set(digit.subtracting(ByteSet("dD".utf8)), then: three)
        let letters = try set(ByteSet("\"\\/bfnrt".utf8), then: next)
        return try bytes("\\".utf8, then: fork([letters, bytes("u".utf8, then: fork([surrogates, others]))]))
    }
}

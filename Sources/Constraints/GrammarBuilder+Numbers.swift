// Numbers are written without leading zeros, and where they have bounds without an exponent.
extension GrammarBuilder {
    private static let mostDigits = 20

    mutating func anyInteger() throws(GrammarError) -> RuleID {
        try common(\.integer) { (builder) throws(GrammarError) in try builder.integer(then: builder.end) }
    }

    mutating func anyNumber() throws(GrammarError) -> RuleID {
        try common(\.number) { (builder) throws(GrammarError) in
            let exponent = try builder.digits(2, then: builder.end)
            let sign = try builder.fork([exponent, builder.set(ByteSet("+-".utf8), then: exponent)])
            let scaled = try builder.fork([builder.end, builder.set(ByteSet("eE".utf8), then: sign)])
            let fraction = try builder.text(".", then: builder.digits(Self.mostDigits, then: scaled))
            return try builder.integer(then: builder.fork([scaled, fraction]))
        }
    }

    private mutating func integer(then next: StateID) throws(GrammarError) -> StateID {
        let rest = try digits(Self.mostDigits - 1, least: 0, then: next)
        let magnitude = try fork([text("0", then: next), set(ByteSet("123456789".utf8), then: rest)])
        return try fork([magnitude, text("-", then: magnitude)])
    }

    mutating func digits(_ most: Int, least: Int = 1, then next: StateID) throws(GrammarError) -> StateID {
        var start = next
        for place in (0..<most).reversed() {
            let digit = try set(ByteSet("0123456789".utf8), then: start)
            start = place < least ? digit : try fork([next, digit])
        }
        return start
    }

    /// Whole numbers from `low` to `high`; nil for no bound.
    ///
    /// - Precondition: there is one.
    mutating func integer(from low: Int?, to high: Int?, then next: StateID) throws(GrammarError) -> StateID {
        var signs: [StateID] = []
        if high ?? 0 >= 0 {
            signs.append(try magnitude(from: UInt(max(low ?? 0, 0)), to: high.map { UInt($0) }, then: next))
        }
        if low ?? -1 < 0 {
            let least = min(high ?? -1, -1).magnitude
            signs.append(try text("-", then: magnitude(from: least, to: low?.magnitude, then: next)))
        }
        return try fork(signs)
    }

    /// Numbers from `low` to `high` with digits behind the point or without; nil for no bound.
    mutating func number(from low: Int?, to high: Int?, then next: StateID) throws(GrammarError) -> StateID {
        let fraction = try fork([next, text(".", then: digits(Self.mostDigits, then: next))])
        var signs: [StateID] = []
        if high ?? 0 >= 0 {
            signs += try magnitudes(from: UInt(max(low ?? 0, 0)), to: high.map { UInt($0) }, next, fraction)
        }
        if low ?? -1 < 0 {
            for start in try magnitudes(from: min(high ?? 0, 0).magnitude, to: low?.magnitude, next, fraction) {
                signs.append(try text("-", then: start))
            }
        }
        return try fork(signs)
    }

    /// Whole numbers below the bound go on with a fraction, and the bound itself doesn't.
    private mutating func magnitudes(
        from low: UInt, to high: UInt?, _ next: StateID, _ fraction: StateID
    ) throws(GrammarError) -> [StateID] {
        guard let high else { return [try magnitude(from: low, to: nil, then: fraction)] }
        let bound = try magnitude(from: high, to: high, then: next)
        return low < high ? [try magnitude(from: low, to: high - 1, then: fraction), bound] : [bound]
    }

    private mutating func magnitude(from low: UInt, to high: UInt?, then next: StateID) throws(GrammarError) -> StateID
    {
        let lowDigits = Array(String(low).utf8)
        let nines = { (count: Int) in [UInt8](repeating: UInt8(ascii: "9"), count: count) }
        guard let high else {
            var starts = [try digits(from: lowDigits, to: nines(lowDigits.count), then: next)]
            if lowDigits.count < Self.mostDigits {
                let rest = try digits(Self.mostDigits - 1, least: lowDigits.count, then: next)
                starts.append(try set(ByteSet("123456789".utf8), then: rest))
            }
            return try fork(starts)
        }
        let highDigits = Array(String(high).utf8)
        var starts: [StateID] = []
        for count in lowDigits.count...highDigits.count {
            let first = [UInt8(ascii: "1")] + [UInt8](repeating: UInt8(ascii: "0"), count: count - 1)
            starts.append(
                try digits(
                    from: count == lowDigits.count ? lowDigits : first,
                    to: count == highDigits.count ? highDigits : nines(count), then: next))
        }
        return try fork(starts)
    }

    /// As many digits as both bounds have.
    private mutating func digits(
        from low: some Collection<UInt8>, to high: some Collection<UInt8>, then next: StateID
    ) throws(GrammarError) -> StateID {
        guard let first = low.first, let last = high.first else { return next }
        if low.allSatisfy({ $0 == UInt8(ascii: "0") }), high.allSatisfy({ $0 == UInt8(ascii: "9") }) {
            return try digits(low.count, least: low.count, then: next)
        }
        let (lowRest, highRest) = (Array(low.dropFirst()), Array(high.dropFirst()))
        if first == last {
            return try set(ByteSet(first...first), then: digits(from: lowRest, to: highRest, then: next))
        }
        let zeros = [UInt8](repeating: UInt8(ascii: "0"), count: lowRest.count)
        let nines = [UInt8](repeating: UInt8(ascii: "9"), count: lowRest.count)
        var starts = [
            try set(ByteSet(first...first), then: digits(from: lowRest, to: nines, then: next)),
            try set(ByteSet(last...last), then: digits(from: zeros, to: highRest, then: next)),
        ]
        if first + 1 < last {
            let rest = try digits(lowRest.count, least: lowRest.count, then: next)
            starts.append(try set(ByteSet(first + 1...last - 1), then: rest))
        }
        return try fork(starts)
    }
}

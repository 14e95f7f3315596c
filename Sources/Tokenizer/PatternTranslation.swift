/// A pattern in Oniguruma's dialect (Ruby syntax, UTF-8), which `tokenizer.json` uses, written for PCRE2.
///
/// Only what means the same in both dialects, or can be made to, is accepted; the rest is refused by name:
/// - `\s` is Unicode's White_Space (PCRE2's own also has U+180E);
/// - properties are those of Unicode 16 (`UnicodeAdditions`), so that the ids don't depend on the installed library;
/// - `[…&&…]`, which PCRE2 doesn't have, becomes a class and what its characters must also be;
/// - `\s+$` by itself is looked for where white space begins: it is found in the same places, and a long run that isn't
///   at the end isn't gone over again from each of its characters;
/// - `{n,m}+` (possessive here, repeated there), `\h`, `\w`, `\b` and other nested classes differ: refused.
struct PatternTranslation {
    /// Correct for texts without a code point of `UnicodeAdditions`, and faster.
    private(set) var plain = ""
    /// Correct for every text.
    private(set) var extended = ""

    private var rest: ArraySlice<Unicode.Scalar>
    private let field: String

    init(_ pattern: String, field: String) throws(TokenizerError) {
        self.field = field
        rest = Array(pattern.unicodeScalars)[...]
        if pattern == #"\s+$"# { emit("(?<![\(Self.whiteSpace)])") }
        while let scalar = rest.popFirst() { try item(scalar) }
    }

    private static let whiteSpace = #"\t-\r\x{85}\p{Z}"#

    private mutating func emit(_ text: String) {
        plain += text
        extended += text
    }

    private mutating func emit(_ scalar: Unicode.Scalar) {
        plain.unicodeScalars.append(scalar)
        extended.unicodeScalars.append(scalar)
    }

    private func refuse(_ what: String) -> TokenizerError {
        TokenizerError(.unsupported, field: field, "the pattern uses \(what), which isn't supported")
    }

    private mutating func item(_ scalar: Unicode.Scalar) throws(TokenizerError) {
        switch scalar {
        case "\\": try escape(insideClass: false)
        case "[": try characterClass()
        case "(": try group()
        case "{": try repetition()
        case "]", "}": emit("\\\(scalar)")
        default: emit(scalar)
        }
    }

    private mutating func group() throws(TokenizerError) {
        if rest.first == "*" { throw refuse("(*…)") }
        guard rest.first == "?" else { return emit("(?:") }
        for opening in ["?:", "?=", "?!", "?>", "?<=", "?<!", "?i:"] where rest.starts(with: opening.unicodeScalars) {
            rest.removeFirst(opening.unicodeScalars.count)
            return emit("(" + opening)
        }
        throw refuse("a group beginning with (\(text(rest.prefix(3)))")
    }

    private mutating func repetition() throws(TokenizerError) {
        let body = rest.prefix { $0 != "}" }
        let bounds = body.split(separator: ",", omittingEmptySubsequences: false)
        let isNumber = { (part: ArraySlice<Unicode.Scalar>) in part.allSatisfy { ("0"..."9").contains($0) } }
        guard (1...2).contains(bounds.count), bounds.allSatisfy(isNumber), bounds.first?.isEmpty == false,
            body.count < 16, body.endIndex < rest.endIndex
        else { throw refuse("{ other than as {n}, {n,} or {n,m}") }
        rest.removeFirst(body.count + 1)
        if rest.first == "+" { throw refuse("{…}+") }
        if rest.first == "?", bounds.count == 1 { throw refuse("{n}?") }
        emit("{\(text(body))}")
    }

    private mutating func characterClass() throws(TokenizerError) {
        let start = (plain.endIndex, extended.endIndex)
        emit("[")
        if rest.first == "^" {
            rest.removeFirst()
            emit("^")
        }
        if rest.first == "]" { throw refuse("an empty class") }
        while let scalar = rest.popFirst() {
            switch scalar {
            case "]": return emit("]")
            case "[": throw refuse("a class inside a class")
            case "&" where rest.first == "&":
                rest.removeFirst()
                return try intersection(from: start)
            case "\\": try escape(insideClass: true)
            default: emit(scalar)
            }
        }
        throw TokenizerError(.malformed, field: field, "a class of the pattern has no end")
    }

    /// The rest of a class after its first `&&`: classes that a character must also be of. What came before it, from
    /// `start` on, is a class without its end so far.
    private mutating func intersection(from start: (plain: String.Index, extended: String.Index)) throws(TokenizerError)
    {
        emit("]")
        let first = (plain: String(plain[start.plain...]), extended: String(extended[start.extended...]))
        guard !first.plain.hasPrefix("[^"), first.plain != "[]" else {
            throw refuse("the intersection of a negated or empty class")
        }
        plain.removeSubrange(start.plain...)
        extended.removeSubrange(start.extended...)
        emit("(?:")
        repeat {
            guard rest.popFirst() == "[" else { throw refuse("&& before anything but a class") }
            emit("(?=")
            try characterClass()
            emit(")")
        } while rest.removePrefix("&&")
        guard rest.popFirst() == "]" else { throw refuse("something after a class that follows &&") }
        plain += first.plain + ")"
        extended += first.extended + ")"
    }

    private mutating func escape(insideClass: Bool) throws(TokenizerError) {
        guard let scalar = rest.popFirst() else {
            throw TokenizerError(.malformed, field: field, "the pattern ends in a backslash")
        }
        switch scalar {
        case "r", "n", "t", "f": emit("\\\(scalar)")
        case "s": emit(insideClass ? Self.whiteSpace : "[\(Self.whiteSpace)]")
        case "S" where !insideClass: emit("[^\(Self.whiteSpace)]")
        case "d": try property("Nd", negated: false, insideClass: insideClass)
        case "D" where !insideClass: try property("Nd", negated: true, insideClass: false)
        case "p", "P": try namedProperty(negated: scalar == "P", insideClass: insideClass)
        case "u": try codePoint(digits: rest.prefix(4), consumed: 4)
        case "x" where rest.first == "{":
            let digits = rest.dropFirst().prefix { $0 != "}" }
            try codePoint(digits: digits, consumed: digits.count + 2)
        case "!"..."/", ":"..."@", "["..."`", "{"..."~", " ": emit("\\\(scalar)")
        default: throw refuse("\\\(scalar)" + (insideClass ? " inside a class" : ""))
        }
    }

    private mutating func codePoint(digits: ArraySlice<Unicode.Scalar>, consumed: Int) throws(TokenizerError) {
        guard consumed <= min(rest.count, 10), let value = UInt32(text(digits), radix: 16), Unicode.Scalar(value) != nil
        else { throw TokenizerError(.malformed, field: field, "the pattern has a code point that isn't one") }
        rest.removeFirst(consumed)
        emit("\\x{\(String(value, radix: 16))}")
    }

    private mutating func namedProperty(negated: Bool, insideClass: Bool) throws(TokenizerError) {
        guard rest.popFirst() == "{" else { throw refuse("a property without braces") }
        var name = text(rest.prefix { $0 != "}" })
        rest.removeFirst(min(rest.count, name.unicodeScalars.count + 1))
        var negated = negated
        if name.hasPrefix("^") {
            name.removeFirst()
            negated.toggle()
        }
        try property(name, negated: negated, insideClass: insideClass)
    }

    private mutating func property(_ name: String, negated: Bool, insideClass: Bool) throws(TokenizerError) {
        guard let added = UnicodeAdditions.ranges(of: name) else { throw refuse("the property \(name)") }
        if insideClass, negated { throw refuse("a negated property inside a class") }
        // PCRE2's \p{Han} is the script's extensions, the reference's is the script.
        let own = name == "Han" ? #"\p{sc:Han}"# : "\\p{\(name)}"
        if !insideClass { emit(negated ? "[^" : "[") }
        emit(own)
        for range in added {
            extended += "\\x{\(String(range.lowerBound, radix: 16))}-\\x{\(String(range.upperBound, radix: 16))}"
        }
        if !insideClass { emit("]") }
    }

    private func text(_ scalars: some Sequence<Unicode.Scalar>) -> String {
        var result = ""
        result.unicodeScalars.append(contentsOf: scalars)
        return result
    }
}

extension ArraySlice<Unicode.Scalar> {
    /// Whether it began with this, which is gone then.
    fileprivate mutating func removePrefix(_ text: String) -> Bool {
        guard starts(with: text.unicodeScalars) else { return false }
        removeFirst(text.unicodeScalars.count)
        return true
    }
}

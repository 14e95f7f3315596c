/// `PATTERN=TYPE`: the type of the tensors whose names match.
///
/// Of several rules the first that matches wins. A name is the canonical one, such as `layers.3.attention.output` or
/// `layers.3.experts.7.down`, or the checkpoint's own.
package struct FormatRule: Sendable, Equatable, CustomStringConvertible {
    package let pattern: NamePattern
    package let type: ConversionType
    /// Where it was written, as messages name it; empty for a recipe's own.
    package let place: String

    init(_ pattern: NamePattern, _ type: ConversionType) {
        self.pattern = pattern
        self.type = type
        place = ""
    }

    /// - Parameter place: where the text comes from, such as `rules.txt, line 3`.
    package init(_ text: String, place: String) throws(QuantizerError) {
        guard let equals = text.lastIndex(of: "=") else {
            throw QuantizerError(
                code: .badRule, message: "\(place): '\(text)' isn't a rule",
                advice: "A rule is PATTERN=TYPE, such as 'layers.*.attention.*=int8'")
        }
        let name = String(text[text.index(after: equals)...])
        guard let type = ConversionType(rawValue: name) else {
            let names = ConversionType.allCases.map(\.rawValue).joined(separator: ", ")
            throw QuantizerError(
                code: .badRule, message: "\(place): there is no type '\(name)'", advice: "The types are \(names)")
        }
        guard let pattern = NamePattern(String(text[..<equals])) else {
            throw QuantizerError(
                code: .badRule, message: "\(place): '\(text[..<equals])' isn't a pattern",
                advice: "A pattern is a name in which * stands for anything, ? for one character, {gate,up} for one of "
                    + "several and {0-3} for a number in a range")
        }
        self.pattern = pattern
        self.type = type
        self.place = place
    }

    /// The rules of a file: one a line, `#` begins a comment.
    package static func rules(inFile text: String, path: String) throws(QuantizerError) -> [FormatRule] {
        var rules: [FormatRule] = []
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let rule = line.prefix { $0 != "#" }.filter { !$0.isWhitespace }
            if !rule.isEmpty { rules.append(try FormatRule(String(rule), place: "\(path), line \(number + 1)")) }
        }
        return rules
    }

    package var description: String { "\(pattern)=\(type.rawValue)" }

    /// As messages name it.
    var named: String { place.isEmpty ? "'\(self)'" : "'\(self)' (\(place))" }
}

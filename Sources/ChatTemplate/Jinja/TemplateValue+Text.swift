/// How values are printed: as Python's `str`, `repr` and `json.dumps` do.
extension TemplateValue {
    /// `str(value)`, with the marks of the texts in it.
    var printed: MarkedText {
        switch self {
        case .text(let text): text
        case .undefined: MarkedText()
        default: represented
        }
    }

    /// `repr(value)`.
    private var represented: MarkedText {
        var result = MarkedText()
        represent(into: &result)
        return result
    }

    private func represent(into result: inout MarkedText) {
        switch self {
        case .undefined: result.units += MarkedText("Undefined").units
        case .none: result.units += MarkedText("None").units
        case .boolean(let value): result.units += MarkedText(value ? "True" : "False").units
        case .integer(let value): result.units += MarkedText("\(value)").units
        case .number(let value): result.units += MarkedText(Self.pythonText(value)).units
        case .text(let text): result.units += text.represented.units
        case .list(let items):
            result.units += MarkedText("[").units
            for (index, item) in items.enumerated() {
                if index > 0 { result.units += MarkedText(", ").units }
                item.represent(into: &result)
            }
            result.units += MarkedText("]").units
        case .mapping(let mapping):
            result.units += MarkedText("{").units
            for (index, member) in mapping.members.enumerated() {
                if index > 0 { result.units += MarkedText(", ").units }
                member.key.value.represent(into: &result)
                result.units += MarkedText(": ").units
                member.value.represent(into: &result)
            }
            result.units += MarkedText("}").units
        case .object: result.units += MarkedText("<object>").units
        }
    }

    /// `repr(float)`: the shortest digits that read back as the same number.
    static func pythonText(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        return value.description
    }

    /// `json.dumps` with `ensure_ascii=False`.
    ///
    func json(_ style: JSONStyle) throws(JinjaError) -> MarkedText {
        var result = MarkedText()
        try writeJSON(style, level: 0, into: &result)
        return result
    }

    struct JSONStyle {
        /// Spaces a level, or nil for one line.
        var indent: Int?
        var itemSeparator = ", "
        var keySeparator = ": "
        var sortsKeys = false
        var escapesNonASCII = false
        /// The most characters to write.
        var limit: Int
    }

    private func writeJSON(_ style: JSONStyle, level: Int, into result: inout MarkedText) throws(JinjaError) {
        switch self {
        case .none: result.units += MarkedText("null").units
        case .boolean(let value): result.units += MarkedText(value ? "true" : "false").units
        case .integer(let value): result.units += MarkedText("\(value)").units
        case .number(let value):
            let text =
                value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : value.description
            result.units += MarkedText(text).units
        case .text(let text): text.writeJSON(escapingNonASCII: style.escapesNonASCII, into: &result)
        case .list(let items):
            try Self.writeMembers(items, "[", "]", style, level, into: &result) { item, result throws(JinjaError) in
                try item.writeJSON(style, level: level + 1, into: &result)
            }
        case .mapping(let mapping):
            let members =
                style.sortsKeys
                ? mapping.members.sorted { $0.key.value.printed < $1.key.value.printed } : mapping.members
            try Self.writeMembers(members, "{", "}", style, level, into: &result) { member, result throws(JinjaError) in
                member.key.value.printed.writeJSON(escapingNonASCII: style.escapesNonASCII, into: &result)
                result.units += MarkedText(style.keySeparator).units
                try member.value.writeJSON(style, level: level + 1, into: &result)
            }
        case .undefined, .object: throw JinjaError(.runtime, "\(kind) has no JSON form")
        }
    }

    private static func writeMembers<Member>(
        _ members: [Member], _ opening: String, _ closing: String, _ style: JSONStyle, _ level: Int,
        into result: inout MarkedText, _ write: (Member, inout MarkedText) throws(JinjaError) -> Void
    ) throws(JinjaError) {
        func newLine(_ level: Int) -> String {
            style.indent.map { "\n" + String(repeating: " ", count: $0 * level) } ?? ""
        }
        result.units += MarkedText(opening).units
        for (index, member) in members.enumerated() {
            result.units += MarkedText((index > 0 ? style.itemSeparator : "") + newLine(level + 1)).units
            try write(member, &result)
            guard result.units.count <= style.limit else {
                throw JinjaError(.limit, "the template makes more JSON than \(style.limit) characters")
            }
        }
        result.units += MarkedText((members.isEmpty ? "" : newLine(level)) + closing).units
    }
}

extension MarkedText {
    fileprivate func writeJSON(escapingNonASCII: Bool, into result: inout MarkedText) {
        result.units.append(0x22)
        for unit in units {
            let scalar = unit & Mark.scalar
            let marks = unit & ~Mark.scalar
            let escaped: String? =
                switch scalar {
                case 0x22: "\\\""
                case 0x5C: "\\\\"
                case 0x0A: "\\n"
                case 0x0D: "\\r"
                case 0x09: "\\t"
                case 0x08: "\\b"
                case 0x0C: "\\f"
                case ..<0x20: Self.escape(UInt16(scalar))
                case 0x7F... where escapingNonASCII && scalar > 0x7F:
                    Unicode.Scalar(scalar).map { UTF16.encode($0).map { $0.map(Self.escape).joined() } ?? "" }
                default: nil
                }
            if let escaped {
                result.units += escaped.unicodeScalars.map { $0.value | marks }
            } else {
                result.units.append(unit)
            }
        }
        result.units.append(0x22)
    }

    private static func escape(_ unit: UInt16) -> String {
        let digits = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }

    /// `repr(str)`: in single quotes, unless it has such and no double ones.
    fileprivate var represented: MarkedText {
        let has = Set(scalars)
        let quote: UInt32 = has.contains(0x27) && !has.contains(0x22) ? 0x22 : 0x27
        var result = MarkedText(units: [quote])
        for unit in units {
            let scalar = unit & Mark.scalar
            let escaped: String? =
                switch scalar {
                case quote: "\\" + String(Character(Unicode.Scalar(UInt8(quote))))
                case 0x5C: "\\\\"
                case 0x0A: "\\n"
                case 0x0D: "\\r"
                case 0x09: "\\t"
                case ..<0x20, 0x7F: "\\x" + (scalar < 16 ? "0" : "") + String(scalar, radix: 16)
                default: nil
                }
            result.units += escaped.map { $0.unicodeScalars.map { $0.value | (unit & ~Mark.scalar) } } ?? [unit]
        }
        return MarkedText(units: result.units + [quote])
    }
}

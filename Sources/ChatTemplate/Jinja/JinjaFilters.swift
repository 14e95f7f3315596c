/// Jinja's filters, as far as published templates use them, and `tojson` as Hugging Face has it.
enum JinjaFilters {
    static let names: Set<String> = [
        "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "indent", "int",
        "items",
        "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse",
        "round", "safe", "select", "selectattr", "sort", "string", "sum", "title", "tojson", "trim", "unique", "upper",
        "wordcount",
    ]
}

extension JinjaInterpreter {
    func apply(
        _ name: String, to value: TemplateValue, _ call: JinjaCall
    ) throws(JinjaError) -> TemplateValue {
        try step()
        guard JinjaFilters.names.contains(name) else {
            throw JinjaError(.runtime, "there is no filter \"\(name)\"")
        }
        switch name {
        case "default", "d":
            try call.check(["default_value", "boolean"], of: name)
            let isMissing: Bool
            if case .undefined = value { isMissing = true } else { isMissing = false }
            let replacesFalse = call.value(1, "boolean")?.isTrue ?? false
            return isMissing || (replacesFalse && !value.isTrue) ? call.value(0, "default_value") ?? .own("") : value
        case "tojson": return .text(try json(value, call))
        case "string", "safe": return .text(try printed(value))
        case "trim", "lower", "upper", "title", "capitalize", "replace", "indent", "escape", "e", "wordcount":
            return try applyToText(name, printed(value), call)
        case "abs", "int", "float", "round": return try applyToNumber(name, value, call)
        case "length", "count":
            if case .text(let text) = value { return .integer(text.units.count) }
            if case .mapping(let mapping) = value { return .integer(mapping.count) }
            return .integer(try items(of: value).count)
        case "items":
            if case .undefined = value { return .list([]) }
            guard case .mapping(let mapping) = value else {
                throw JinjaError(.runtime, "\(value.kind) has no members")
            }
            return try pairs(mapping.members)
        case "dictsort":
            guard case .mapping(let mapping) = value else {
                throw JinjaError(.runtime, "\(value.kind) has no members")
            }
            var failure: JinjaError?
            let sorted = mapping.members.sorted { left, right in
                do throws(JinjaError) {
                    return try left.key.value.lowercased.precedes(right.key.value.lowercased)
                } catch {
                    failure = error
                    return false
                }
            }
            if let failure { throw failure }
            return try pairs(sorted)
        case "select", "reject", "selectattr", "rejectattr", "map":
            // Nothing is picked from none too.
            return try applyToList(name, value.isTrue ? items(of: value) : [], call)
        default: return try applyToList(name, items(of: value), call)
        }
    }

    func pairs(_ members: [(key: TemplateMapping.Key, value: TemplateValue)]) throws(JinjaError) -> TemplateValue {
        try spend(members.count)
        return .list(members.map { .list([$0.key.value, $0.value]) })
    }

    private func json(_ value: TemplateValue, _ call: JinjaCall) throws(JinjaError) -> MarkedText {
        try call.check(["indent", "ensure_ascii", "separators", "sort_keys"], of: "tojson")
        var style = TemplateValue.JSONStyle(limit: remainingVolume)
        style.escapesNonASCII = call.value(1, "ensure_ascii")?.isTrue ?? false
        style.sortsKeys = call.value(3, "sort_keys")?.isTrue ?? false
        if let indent = call.value(0, "indent")?.asInteger {
            guard 0...16 ~= indent else { throw JinjaError(.runtime, "tojson can't indent by \(indent)") }
            style.indent = indent
            style.itemSeparator = ","
        }
        if case .list(let separators)? = call.value(2, "separators"), separators.count == 2 {
            style.itemSeparator = try printed(separators[0]).string
            style.keySeparator = try printed(separators[1]).string
        }
        let text = try value.json(style)
        try spend(text.units.count)
        return text
    }

    // MARK: Texts

    private func applyToText(
        _ name: String, _ text: MarkedText, _ call: JinjaCall
    ) throws(JinjaError) -> TemplateValue {
        try spend(text.units.count)
        switch name {
        case "trim":
            try call.check(["chars"], of: name)
            return .text(text.trimmed(of: call.value(0, "chars")?.asText))
        case "lower": return .text(text.lowercased)
        case "upper": return .text(text.uppercased)
        case "title": return .text(text.titled(breakingAt: "-({[<"))
        case "capitalize": return .text(text.capitalized)
        case "wordcount": return .integer(text.words().count)
        case "replace":
            try call.check(["old", "new", "count"], of: name)
            guard let old = call.value(0, "old"), let new = call.value(1, "new") else {
                throw JinjaError(.runtime, "replace needs what to replace and by what")
            }
            return try replaced(text, printed(old), printed(new), call.value(2, "count"))
        case "indent":
            try call.check(["width", "first", "blank"], of: name)
            return .text(try indented(text, call))
        default:
            let names: [UInt32: String] = [0x26: "&amp;", 0x3C: "&lt;", 0x3E: "&gt;", 0x27: "&#39;", 0x22: "&#34;"]
            return .text(
                MarkedText(
                    units: text.units.flatMap { unit in
                        names[unit & MarkedText.Mark.scalar].map {
                            $0.unicodeScalars.map { $0.value | (unit & ~MarkedText.Mark.scalar) }
                        } ?? [unit]
                    }))
        }
    }

    func replaced(
        _ text: MarkedText, _ old: MarkedText, _ new: MarkedText, _ count: TemplateValue?
    ) throws(JinjaError) -> TemplateValue {
        let limit = count?.asInteger.flatMap { $0 < 0 ? nil : $0 } ?? .max
        // No more places than characters, so that the volume is known before the work is done.
        let places = min(limit, old.units.isEmpty ? text.units.count + 1 : text.units.count / old.units.count)
        if new.units.count > old.units.count { try spend(places * (new.units.count - old.units.count)) }
        return .text(text.replacing(old, with: new, limit: limit))
    }

    private func indented(_ text: MarkedText, _ call: JinjaCall) throws(JinjaError) -> MarkedText {
        let indent: MarkedText
        switch call.value(0, "width") ?? .integer(4) {
        case .text(let text): indent = text
        case .integer(let width) where 0...1024 ~= width: indent = MarkedText(String(repeating: " ", count: width))
        default: throw JinjaError(.runtime, "indent's width must be a text or a small integer")
        }
        let includesFirst = call.value(1, "first")?.isTrue ?? false
        let includesBlank = call.value(2, "blank")?.isTrue ?? false
        let lines = text.split(at: MarkedText("\n"))
        try spend(lines.count * indent.units.count)
        var result: [[UInt32]] = []
        for (index, line) in lines.enumerated() {
            let isIndented = index == 0 ? includesFirst : includesBlank || !line.units.isEmpty
            result.append((isIndented ? indent.units : []) + line.units)
        }
        return MarkedText(units: Array(result.joined(separator: [0x0A])))
    }

    // MARK: Numbers

    private func applyToNumber(
        _ name: String, _ value: TemplateValue, _ call: JinjaCall
    ) throws(JinjaError) -> TemplateValue {
        switch name {
        case "int":
            try call.check(["default", "base"], of: name)
            if let integer = value.asInteger { return .integer(integer) }
            let number = value.asNumber ?? value.asText.flatMap { Double($0.trimmed().string) }
            if let text = value.asText, let integer = Int(text.trimmed().string) { return .integer(integer) }
            return number.flatMap { Int(exactly: $0.rounded(.towardZero)) }.map { .integer($0) }
                ?? call.value(0, "default") ?? .integer(0)
        case "float":
            try call.check(["default"], of: name)
            let number = value.asNumber ?? value.asText.flatMap { Double($0.trimmed().string) }
            return number.map { .number($0) } ?? call.value(0, "default") ?? .number(0)
        case "abs":
            if let integer = value.asInteger { return integer < 0 ? try negative(value) : .integer(integer) }
            guard let number = value.asNumber else { throw JinjaError(.runtime, "\(value.kind) has no magnitude") }
            return .number(abs(number))
        default:
            try call.check(["precision"], of: name)
            guard let number = value.asNumber, let precision = (call.value(0, "precision") ?? .integer(0)).asInteger,
                0...15 ~= precision
            else { throw JinjaError(.runtime, "round needs a number, and at most 15 digits") }
            var factor = 1.0
            for _ in 0..<precision { factor *= 10 }
            return .number((number * factor).rounded(.toNearestOrEven) / factor)
        }
    }
}

extension MarkedText {
    var lowercased: MarkedText { mapCharacters { scalar, _ in scalar.properties.lowercaseMapping } }
    var uppercased: MarkedText { mapCharacters { scalar, _ in scalar.properties.uppercaseMapping } }

    var capitalized: MarkedText {
        let lower = lowercased
        return lower.slice(0..<min(1, lower.units.count)).mapCharacters { scalar, _ in
            scalar.properties.titlecaseMapping
        }
            + lower.slice(min(1, lower.units.count)..<lower.units.count)
    }

    /// Python's `str.title`.
    var titled: MarkedText {
        mapCharacters { scalar, isWordStart in
            isWordStart ? scalar.properties.titlecaseMapping : scalar.properties.lowercaseMapping
        }
    }

    /// The filter `title`: words begin after white space or one of `delimiters`.
    func titled(breakingAt delimiters: String) -> MarkedText {
        let breaks = Set(delimiters.unicodeScalars.map(\.value))
        var isWordStart = true
        return mapCharacters { scalar, _ in
            defer { isWordStart = breaks.contains(scalar.value) || Self.isSpace(scalar.value) }
            return isWordStart ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
        }
    }
}

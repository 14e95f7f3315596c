/// The methods of Python's values that templates call.
enum JinjaMethods {
    static let ofTexts: Set<String> = [
        "capitalize", "count", "endswith", "find", "isalpha", "isdigit", "isspace", "join", "lower", "lstrip",
        "partition",
        "removeprefix", "removesuffix", "replace", "rfind", "rpartition", "rsplit", "rstrip", "split", "splitlines",
        "startswith", "strip", "title", "upper",
    ]
    static let ofMappings: Set<String> = ["get", "items", "keys", "values"]
    static let ofLists: Set<String> = ["count", "index"]
}

/// What a template can call without an object.
enum JinjaFunctions {
    static let names = ["dict", "namespace", "raise_exception", "range", "strftime_now"]
}

extension JinjaInterpreter {
    func callFunction(_ name: String, _ call: JinjaCall) throws(JinjaError) -> TemplateValue {
        switch name {
        case "dict", "namespace":
            var members = TemplateMapping()
            if case .mapping(let first)? = call.positional.first { members = first }
            for argument in call.named { members[argument.name] = argument.value }
            _ = try weight(of: .mapping(members))
            return name == "dict" ? .mapping(members) : object(.namespace(members))
        case "raise_exception":
            let reason = try printed(call.positional.first ?? .own("this conversation isn't one that it renders"))
            throw JinjaError(.raised, String(reason.string.prefix(1000)))
        case "strftime_now":
            guard let format = call.positional.first?.asText?.string else {
                throw JinjaError(.runtime, "strftime_now needs a format")
            }
            return .own(formatTime(format))
        default:
            let bounds = call.positional.compactMap(\.asInteger)
            guard bounds.count == call.positional.count, 1...3 ~= bounds.count, call.named.isEmpty else {
                throw JinjaError(.runtime, "range needs one to three integers")
            }
            let step = bounds.count == 3 ? bounds[2] : 1
            guard step != 0, step != .min else { throw JinjaError(.runtime, "range's step can't be \(step)") }
            let start = bounds.count > 1 ? bounds[0] : 0
            let end = bounds.count > 1 ? bounds[1] : bounds[0]
            var items: [TemplateValue] = []
            for value in stride(from: start, to: end, by: step) {
                try spend(1)
                items.append(.integer(value))
            }
            return .list(items)
        }
    }

    func callMethod(
        _ name: String, of value: TemplateValue, _ call: JinjaCall
    ) throws(JinjaError) -> TemplateValue {
        switch value {
        case .text(let text):
            try spend(text.units.count)
            return try callMethod(name, of: text, call)
        case .mapping(let mapping):
            switch name {
            case "items": return try pairs(mapping.members)
            case "keys": return .list(mapping.keys.map(\.value))
            case "values": return .list(mapping.members.map(\.value))
            default:
                try call.check(["key", "default"], of: name)
                let member = call.value(0, "key").flatMap(TemplateMapping.Key.init).flatMap { mapping[$0] }
                return member ?? call.value(1, "default") ?? .none
            }
        case .list(let items):
            try examine(value)
            guard let wanted = call.positional.first else { throw JinjaError(.runtime, "\(name) needs a value") }
            if name == "count" { return .integer(items.count { $0 == wanted }) }
            guard let place = items.firstIndex(of: wanted) else {
                throw JinjaError(.runtime, "the list doesn't hold what index looks for")
            }
            return .integer(place)
        default: return .undefined(name)
        }
    }

    private func callMethod(
        _ name: String, of text: MarkedText, _ call: JinjaCall
    ) throws(JinjaError) -> TemplateValue {
        switch name {
        case "strip", "lstrip", "rstrip":
            let side: MarkedText.Side = name == "strip" ? .both : name == "lstrip" ? .start : .end
            return .text(text.trimmed(side, of: call.positional.first?.asText))
        case "lower": return .text(text.lowercased)
        case "upper": return .text(text.uppercased)
        case "title": return .text(text.titled)
        case "capitalize": return .text(text.capitalized)
        case "split", "rsplit": return .list(try split(text, fromEnd: name == "rsplit", call).map { .text($0) })
        case "splitlines":
            var lines = text.replacing(MarkedText("\r\n"), with: MarkedText("\n")).split(at: MarkedText("\n"))
            if lines.last?.units.isEmpty == true { lines.removeLast() }
            return .list(lines.map { .text($0) })
        case "join": return try join(items(of: call.positional.first ?? .list([])), with: text)
        case "replace":
            guard call.positional.count >= 2 else { throw JinjaError(.runtime, "replace needs two texts") }
            let count = call.positional.count > 2 ? call.positional[2] : call.value(2, "count")
            return try replaced(text, printed(call.positional[0]), printed(call.positional[1]), count)
        case "isdigit", "isspace", "isalpha": return .boolean(Self.isAll(text, name))
        default: return try search(name, text, call)
        }
    }

    private func split(
        _ text: MarkedText, fromEnd: Bool, _ call: JinjaCall
    ) throws(JinjaError) -> [MarkedText] {
        try call.check(["sep", "maxsplit"], of: "split")
        let limit = call.value(1, "maxsplit")?.asInteger.flatMap { $0 < 0 ? nil : $0 } ?? .max
        guard case .text(let separator)? = call.value(0, "sep") else {
            guard limit == .max else { throw JinjaError(.runtime, "split with maxsplit needs a separator") }
            return text.words()
        }
        guard !separator.units.isEmpty else { throw JinjaError(.runtime, "split needs a separator that isn't empty") }
        return fromEnd ? text.splitFromEnd(at: separator, limit: limit) : text.split(at: separator, limit: limit)
    }

    private static func isAll(_ text: MarkedText, _ name: String) -> Bool {
        !text.units.isEmpty
            && text.scalars.allSatisfy { scalar in
                guard let properties = Unicode.Scalar(scalar)?.properties else { return false }
                switch name {
                case "isspace": return MarkedText.isSpace(scalar)
                case "isdigit": return properties.numericType == .decimal || properties.numericType == .digit
                default:
                    switch properties.generalCategory {
                    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
                        return true
                    default: return false
                    }
                }
            }
    }

    /// The methods that look for another text.
    private func search(
        _ name: String, _ text: MarkedText, _ call: JinjaCall
    ) throws(JinjaError) -> TemplateValue {
        var wanted: [MarkedText] = []
        switch call.positional.first {
        case .text(let part)?: wanted = [part]
        case .list(let parts)? where name.hasSuffix("with"): wanted = parts.compactMap(\.asText)
        default: throw JinjaError(.runtime, "\(name) needs a text")
        }
        func ends(with part: MarkedText) -> Bool { text.matches(part, at: text.units.count - part.units.count) }
        if name == "startswith" { return .boolean(wanted.contains { text.matches($0, at: 0) }) }
        if name == "endswith" { return .boolean(wanted.contains(where: ends)) }
        let part = wanted[0]
        let count = text.units.count
        switch name {
        case "removeprefix":
            return .text(text.matches(part, at: 0) ? text.slice(part.units.count..<count) : text)
        case "removesuffix": return .text(ends(with: part) ? text.slice(0..<count - part.units.count) : text)
        case "count": return .integer(part.units.isEmpty ? count + 1 : text.split(at: part).count - 1)
        case "find": return .integer(text.firstIndex(of: part) ?? -1)
        case "rfind":
            if part.units.isEmpty { return .integer(count) }
            let parts = text.splitFromEnd(at: part, limit: 1)
            return .integer(parts.count == 2 ? parts[0].units.count : -1)
        default:
            guard !part.units.isEmpty else { throw JinjaError(.runtime, "\(name) needs a text that isn't empty") }
            let parts = name == "partition" ? text.split(at: part, limit: 1) : text.splitFromEnd(at: part, limit: 1)
            if parts.count == 2 { return .list([.text(parts[0]), .text(part), .text(parts[1])]) }
            let empty = TemplateValue.text(MarkedText())
            return .list(name == "partition" ? [.text(text), empty, empty] : [empty, empty, .text(text)])
        }
    }
}

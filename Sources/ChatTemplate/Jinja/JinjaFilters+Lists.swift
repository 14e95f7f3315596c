extension JinjaInterpreter {
    func applyToList(
        _ name: String, _ items: [TemplateValue], _ call: JinjaCall
    ) throws(JinjaError) -> TemplateValue {
        try spend(items.count)
        for item in items { try examine(item) }
        switch name {
        case "list": return .list(items)
        case "first": return items.first ?? .undefined("the first of nothing")
        case "last": return items.last ?? .undefined("the last of nothing")
        case "reverse": return .list(items.reversed())
        case "join":
            try call.check(["d", "attribute"], of: name)
            let separator = try printed(call.value(0, "d") ?? .own(""))
            return try join(path(call.value(1, "attribute"), in: items), with: separator)
        case "sum":
            try call.check(["attribute", "start"], of: name)
            var sum = call.value(1, "start") ?? .integer(0)
            for item in try path(call.value(0, "attribute"), in: items) { sum = try calculate(.add, sum, item) }
            return sum
        case "sort", "min", "max", "unique": return try ordered(name, items, call)
        case "map": return .list(try mapped(items, call))
        default:
            let picksAttribute = name.hasSuffix("attr")
            let wants = name.hasPrefix("select")
            var rest = call
            var attribute: TemplateValue?
            if picksAttribute {
                guard !rest.positional.isEmpty else { throw JinjaError(.runtime, "\(name) needs an attribute's name") }
                attribute = rest.positional.removeFirst()
            }
            var test: String?
            if !rest.positional.isEmpty { test = rest.positional.removeFirst().asText?.string }
            var kept: [TemplateValue] = []
            for (item, value) in zip(items, try path(attribute, in: items)) {
                try step()
                var isTrue = value.isTrue
                if let test { isTrue = try self.test(test, value, rest) }
                if isTrue == wants { kept.append(item) }
            }
            return .list(kept)
        }
    }

    func join(_ items: [TemplateValue], with separator: MarkedText) throws(JinjaError) -> TemplateValue {
        var texts: [MarkedText] = []
        for item in items { texts.append(try printed(item)) }
        try spend(texts.reduce(separator.units.count * max(0, texts.count - 1)) { $0 + $1.units.count })
        return .text(MarkedText(units: Array(texts.map(\.units).joined(separator: separator.units))))
    }

    /// `attribute` of each, where a path has dots between its parts.
    private func path(
        _ attribute: TemplateValue?, in items: [TemplateValue]
    ) throws(JinjaError) -> [TemplateValue] {
        guard let attribute else { return items }
        if case .none = attribute { return items }
        var values: [TemplateValue] = []
        for item in items {
            try step()
            var value = item
            if case .text(let text) = attribute {
                for part in text.split(at: MarkedText(".")) {
                    let key = Int(part.string).map { TemplateValue.integer($0) } ?? .text(part)
                    value = try self.item(key, of: value)
                }
            } else {
                value = try self.item(attribute, of: value)
            }
            values.append(value)
        }
        return values
    }

    private func mapped(_ items: [TemplateValue], _ call: JinjaCall) throws(JinjaError) -> [TemplateValue] {
        if let attribute = call.named.first(where: { $0.name == "attribute" })?.value {
            let fallback = call.named.first { $0.name == "default" }?.value
            return try path(attribute, in: items).map { value in
                if case .undefined = value { return fallback ?? value }
                return value
            }
        }
        guard let name = call.positional.first?.asText?.string else {
            throw JinjaError(.runtime, "map needs a filter's name or attribute=")
        }
        var rest = call
        rest.positional.removeFirst()
        var values: [TemplateValue] = []
        for item in items { values.append(try apply(name, to: item, rest)) }
        return values
    }

    /// `sort`, `min`, `max` and `unique`: texts are compared without regard to case.
    private func ordered(
        _ name: String, _ items: [TemplateValue], _ call: JinjaCall
    ) throws(JinjaError) -> TemplateValue {
        let isSort = name == "sort"
        try call.check(
            isSort ? ["reverse", "case_sensitive", "attribute"] : ["case_sensitive", "attribute"], of: name)
        let isSensitive = call.value(isSort ? 1 : 0, "case_sensitive")?.isTrue ?? false
        let keys = try path(call.value(isSort ? 2 : 1, "attribute"), in: items).map { key in
            isSensitive ? key : key.lowercased
        }
        if name == "unique" {
            var kept: [Int] = []
            for index in items.indices where !kept.contains(where: { keys[$0] == keys[index] }) {
                try spend(kept.count)
                kept.append(index)
            }
            return .list(kept.map { items[$0] })
        }
        var order = Array(items.indices)
        let reversed = isSort && call.value(0, "reverse")?.isTrue ?? false
        var failure: JinjaError?
        // Stable, as Python's: equal ones keep their order, also when reversed.
        order.sort { left, right in
            do throws(JinjaError) {
                if try reversed ? keys[right].precedes(keys[left]) : keys[left].precedes(keys[right]) { return true }
                if try reversed ? keys[left].precedes(keys[right]) : keys[right].precedes(keys[left]) { return false }
            } catch {
                failure = failure ?? error
            }
            return left < right
        }
        if let failure { throw failure }
        if isSort { return .list(order.map { items[$0] }) }
        let place =
            name == "min" ? order.first : order.last { place in order.last.map { keys[$0] == keys[place] } ?? true }
        return place.map { items[$0] } ?? .undefined("the \(name) of nothing")
    }
}

/// The values of a call's arguments.
struct JinjaCall {
    var positional: [TemplateValue] = []
    var named: [(name: String, value: TemplateValue)] = []

    func value(_ place: Int, _ name: String) -> TemplateValue? {
        place < positional.count ? positional[place] : named.first { $0.name == name }?.value
    }

    /// That nothing was given which the callee doesn't take.
    func check(_ names: [String], of callee: String) throws(JinjaError) {
        guard positional.count <= names.count else {
            throw JinjaError(.runtime, "\(callee) takes at most \(names.count) arguments, not \(positional.count)")
        }
        if let unknown = named.first(where: { !names.contains($0.name) }) {
            throw JinjaError(.runtime, "\(callee) has no argument \"\(unknown.name)\"")
        }
    }
}

extension JinjaInterpreter {
    func evaluate(_ expression: JinjaExpression, in scope: JinjaScope) throws(JinjaError) -> TemplateValue {
        try step()
        return try deeper { () throws(JinjaError) in try value(of: expression, in: scope) }
    }

    func evaluate(_ arguments: JinjaArguments, in scope: JinjaScope) throws(JinjaError) -> JinjaCall {
        var call = JinjaCall()
        for argument in arguments.positional { call.positional.append(try evaluate(argument, in: scope)) }
        for argument in arguments.named { call.named.append((argument.name, try evaluate(argument.value, in: scope))) }
        return call
    }

    private func value(of expression: JinjaExpression, in scope: JinjaScope) throws(JinjaError) -> TemplateValue {
        switch expression {
        case .literal(let value): return value
        case .list(let elements):
            var values: [TemplateValue] = []
            for element in elements { values.append(try evaluate(element, in: scope)) }
            return try checked(.list(values))
        case .mapping(let members):
            var mapping = TemplateMapping()
            for member in members {
                guard let key = TemplateMapping.Key(try evaluate(member.key, in: scope)) else {
                    throw JinjaError(.runtime, "a mapping's keys must be texts or integers")
                }
                mapping[key] = try evaluate(member.value, in: scope)
            }
            return try checked(.mapping(mapping))
        case .name(let name): return scope[name] ?? .undefined(name)
        case .attribute(let value, let name): return try attribute(name, of: evaluate(value, in: scope))
        case .item(let value, let key):
            return try item(evaluate(key, in: scope), of: evaluate(value, in: scope))
        case .slice(let value, let start, let end, let step):
            return try slice(
                evaluate(value, in: scope), bound(start, in: scope), bound(end, in: scope), bound(step, in: scope))
        case .call: return try evaluateCall(expression, caller: nil, in: scope)
        case .filter(let value, let name, let arguments):
            return try apply(name, to: evaluate(value, in: scope), evaluate(arguments, in: scope))
        case .test(let value, let name, let arguments):
            let value = try evaluate(value, in: scope)
            return .boolean(try test(name, value, evaluate(arguments, in: scope)))
        case .not(let value): return .boolean(!(try evaluate(value, in: scope).isTrue))
        case .negative(let value): return try negative(evaluate(value, in: scope))
        case .arithmetic(let operation, let left, let right):
            return try calculate(operation, evaluate(left, in: scope), evaluate(right, in: scope))
        case .and(let left, let right):
            let left = try evaluate(left, in: scope)
            return left.isTrue ? try evaluate(right, in: scope) : left
        case .or(let left, let right):
            let left = try evaluate(left, in: scope)
            return left.isTrue ? left : try evaluate(right, in: scope)
        case .comparison(let first, let others):
            var left = try evaluate(first, in: scope)
            for (comparison, expression) in others {
                let right = try evaluate(expression, in: scope)
                try examine(left)
                try examine(right)
                guard try left.compares(comparison, right) else { return .boolean(false) }
                left = right
            }
            return .boolean(true)
        case .condition(let condition, let then, let otherwise):
            if try evaluate(condition, in: scope).isTrue { return try evaluate(then, in: scope) }
            guard let otherwise else { return .undefined("the value of an if without else") }
            return try evaluate(otherwise, in: scope)
        }
    }

    /// A new value, if it isn't nested too deeply.
    private func checked(_ value: TemplateValue) throws(JinjaError) -> TemplateValue {
        _ = try weight(of: value)
        return value
    }

    func test(_ name: String, _ value: TemplateValue, _ call: JinjaCall) throws(JinjaError) -> Bool {
        if !call.positional.isEmpty {
            try examine(value)
            for argument in call.positional { try examine(argument) }
        }
        return try JinjaTests.test(name, value, call)
    }

    // MARK: Parts of values

    /// `value.name`: of a mapping its methods come before its keys, as in Python.
    func attribute(_ name: String, of value: TemplateValue) throws(JinjaError) -> TemplateValue {
        switch value {
        case .undefined(let missing):
            throw JinjaError(.runtime, "\(missing) is undefined, so it has no \"\(name)\"")
        case .mapping(let mapping):
            if JinjaMethods.ofMappings.contains(name) { return .object(TemplateObject(.method(value, name))) }
            return mapping[name] ?? .undefined(name)
        case .text where JinjaMethods.ofTexts.contains(name): return .object(TemplateObject(.method(value, name)))
        case .list where JinjaMethods.ofLists.contains(name): return .object(TemplateObject(.method(value, name)))
        case .object(let object):
            switch object.kind {
            case .namespace(let members): return members[name] ?? .undefined(name)
            case .loop(let state): return state.attribute(name) ?? .undefined("loop.\(name)")
            default: return .undefined(name)
            }
        default: return .undefined(name)
        }
    }

    func item(_ key: TemplateValue, of value: TemplateValue) throws(JinjaError) -> TemplateValue {
        switch (value, key) {
        case (.undefined(let missing), _):
            throw JinjaError(.runtime, "\(missing) is undefined, so it has no items")
        case (.mapping(let mapping), _):
            if let member = TemplateMapping.Key(key).flatMap({ mapping[$0] }) { return member }
        case (.list(let items), _):
            guard let index = key.asInteger else { break }
            let place = index < 0 ? items.count + index : index
            return items.indices.contains(place) ? items[place] : .undefined("item \(index)")
        case (.text(let text), _):
            guard let index = key.asInteger else { break }
            let place = index < 0 ? text.units.count + index : index
            return text.units.indices.contains(place)
                ? .text(MarkedText(units: [text.units[place]])) : .undefined("character \(index)")
        case (.object, .text(let key)): return try attribute(key.string, of: value)
        default: break
        }
        if case .text(let name) = key { return try attribute(name.string, of: value) }
        return .undefined(key.printed.string)
    }

    private func bound(_ expression: JinjaExpression?, in scope: JinjaScope) throws(JinjaError) -> Int? {
        guard let expression else { return nil }
        let value = try evaluate(expression, in: scope)
        if case .none = value { return nil }
        guard let bound = value.asInteger else {
            throw JinjaError(.runtime, "a slice's bounds must be integers, not \(value.kind)")
        }
        return bound
    }

    private func slice(
        _ value: TemplateValue, _ start: Int?, _ end: Int?, _ step: Int?
    ) throws(JinjaError) -> TemplateValue {
        let count: Int
        switch value {
        case .list(let items): count = items.count
        case .text(let text): count = text.units.count
        default: throw JinjaError(.runtime, "\(value.kind) can't be sliced")
        }
        let step = step ?? 1
        guard step != 0, step.magnitude <= Int32.max else {
            throw JinjaError(.runtime, "a slice's step can't be \(step)")
        }
        func clamp(_ bound: Int?, _ fallback: Int, _ low: Int, _ high: Int) -> Int {
            guard let bound else { return fallback }
            return min(max(bound < 0 ? max(bound, -count - 1) + count : bound, low), high)
        }
        let first = step > 0 ? clamp(start, 0, 0, count) : clamp(start, count - 1, -1, count - 1)
        let last = step > 0 ? clamp(end, count, 0, count) : clamp(end, -1, -1, count - 1)
        let places = Array(stride(from: first, to: last, by: step))
        try spend(places.count)
        if case .list(let items) = value { return .list(places.map { items[$0] }) }
        guard case .text(let text) = value else { return value }
        return .text(MarkedText(units: places.map { text.units[$0] }))
    }

    // MARK: Calls

    func evaluateCall(
        _ expression: JinjaExpression, caller: TemplateValue?, in scope: JinjaScope
    ) throws(JinjaError) -> TemplateValue {
        guard case .call(let callee, let arguments) = expression else {
            throw JinjaError(.syntax, "{% call %} needs a call")
        }
        let function = try evaluate(callee, in: scope)
        let call = try evaluate(arguments, in: scope)
        guard case .object(let object) = function else {
            throw JinjaError(.runtime, "\(function.kind) can't be called")
        }
        switch object.kind {
        case .macro(let macro, let outer): return try self.call(macro, outer, call, caller: caller)
        case .function(let name): return try callFunction(name, call)
        case .method(let value, let name): return try callMethod(name, of: value, call)
        case .namespace, .loop: throw JinjaError(.runtime, "\(function.kind) can't be called")
        }
    }
}

extension LoopState {
    fileprivate func attribute(_ name: String) -> TemplateValue? {
        switch name {
        case "index": .integer(index + 1)
        case "index0": .integer(index)
        case "revindex": .integer(items.count - index)
        case "revindex0": .integer(items.count - index - 1)
        case "first": .boolean(index == 0)
        case "last": .boolean(index == items.count - 1)
        case "length": .integer(items.count)
        case "depth": .integer(depth)
        case "depth0": .integer(depth - 1)
        case "previtem": index > 0 ? items[index - 1] : nil
        case "nextitem": index + 1 < items.count ? items[index + 1] : nil
        default: nil
        }
    }
}

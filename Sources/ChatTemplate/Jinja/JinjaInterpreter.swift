/// Runs a parsed template, within limits: a template comes from a file that a stranger made.
///
/// It has no way to a file, a socket or the environment. What it can spend is steps, depth and text.
final class JinjaInterpreter {
    struct Limits {
        /// Statements and expressions evaluated, and parts of values looked at.
        var steps = 5_000_000
        /// Calls within calls of the interpreter.
        var depth = 300
        /// Characters of all texts made on the way, and items of all lists.
        var volume = 1 << 25
        /// Lists in lists: taking a value apart, and letting it go, is recursive.
        var nesting = 100
    }

    private let limits: Limits
    private var steps = 0
    private var depth = 0
    private var volume = 0
    /// `strftime` of the present.
    let formatTime: (String) -> String
    private(set) var output = MarkedText()
    private var objects: [TemplateObject] = []

    private init(limits: Limits, formatTime: @escaping (String) -> String) {
        self.limits = limits
        self.formatTime = formatTime
    }

    static func render(
        _ template: [JinjaStatement], _ values: TemplateMapping, limits: Limits = Limits(),
        formatTime: @escaping (String) -> String
    ) throws(JinjaError) -> MarkedText {
        let interpreter = JinjaInterpreter(limits: limits, formatTime: formatTime)
        defer { interpreter.untie() }
        let globals = JinjaScope(in: nil)
        for name in JinjaFunctions.names { globals.values[name] = .object(TemplateObject(.function(name))) }
        let scope = JinjaScope(in: globals)
        for (name, value) in values.members { scope.values[name.value.printed.string] = value }
        _ = try interpreter.run(template, in: scope)
        return interpreter.output
    }

    // MARK: Limits

    func step() throws(JinjaError) {
        steps += 1
        guard steps <= limits.steps else {
            throw JinjaError(.limit, "the template takes more than \(limits.steps) steps")
        }
    }

    var remainingVolume: Int { limits.volume - volume }

    /// Counts what a new text or list holds.
    func spend(_ count: Int) throws(JinjaError) {
        volume += count
        guard volume <= limits.volume else {
            throw JinjaError(.limit, "the template makes more than \(limits.volume) characters of text")
        }
    }

    /// The characters and items in a value, all the way down.
    func weight(of value: TemplateValue, nesting: Int = 0) throws(JinjaError) -> Int {
        try step()
        guard nesting <= limits.nesting else {
            throw JinjaError(.limit, "the template nests lists deeper than \(limits.nesting)")
        }
        var weight = 1
        switch value {
        case .text(let text): weight += text.units.count
        case .list(let items):
            for item in items { weight += try self.weight(of: item, nesting: nesting + 1) }
        case .mapping(let mapping):
            for (key, value) in mapping.members {
                weight += try self.weight(of: key.value) + self.weight(of: value, nesting: nesting + 1)
            }
        default: break
        }
        return weight
    }

    /// Counts the work of going through a value, which makes nothing.
    func examine(_ value: TemplateValue) throws(JinjaError) {
        steps += try weight(of: value) / 64
    }

    /// `str(value)`.
    func printed(_ value: TemplateValue) throws(JinjaError) -> MarkedText {
        if case .text(let text) = value { return text }
        try spend(weight(of: value))
        return value.printed
    }

    /// Makes an object that is taken apart at the end: namespaces and macros may hold each other.
    func object(_ kind: TemplateObject.Kind) -> TemplateValue {
        let object = TemplateObject(kind)
        objects.append(object)
        return .object(object)
    }

    private func untie() {
        for object in objects { object.kind = .namespace(TemplateMapping()) }
    }

    func deeper<Result>(_ work: () throws(JinjaError) -> Result) throws(JinjaError) -> Result {
        depth += 1
        defer { depth -= 1 }
        guard depth <= limits.depth else {
            throw JinjaError(.limit, "the template nests calls deeper than \(limits.depth)")
        }
        return try work()
    }

    // MARK: Statements

    private enum Flow { case on, breakLoop, continueLoop }

    private func run(_ statements: [JinjaStatement], in scope: JinjaScope) throws(JinjaError) -> Flow {
        for statement in statements {
            try step()
            do throws(JinjaError) {
                let flow = try run(statement.kind, in: scope)
                if flow != .on { return flow }
            } catch {
                var error = error
                error.line = error.line ?? statement.line
                throw error
            }
        }
        return .on
    }

    private func run(_ statement: JinjaStatement.Kind, in scope: JinjaScope) throws(JinjaError) -> Flow {
        switch statement {
        case .text(let text): try write(text)
        case .output(let expression): try write(printed(evaluate(expression, in: scope)))
        case .conditional(let branches, let otherwise):
            for branch in branches where try evaluate(branch.condition, in: scope).isTrue {
                return try deeper { () throws(JinjaError) in try run(branch.body, in: scope) }
            }
            return try deeper { () throws(JinjaError) in try run(otherwise, in: scope) }
        case .loop(let loop): return try run(loop, in: scope)
        case .assignment(let target, let expression):
            try assign(evaluate(expression, in: scope), to: target, in: scope)
        case .capture(let target, let filters, let body):
            let text = try captured(body, filters, in: scope)
            try assign(text, to: target, in: scope)
        case .filtered(let filters, let body): try write(printed(captured(body, filters, in: scope)))
        case .macro(let macro): scope.values[macro.name] = object(.macro(macro, scope))
        case .call(let call, let caller):
            let inner = JinjaScope(in: scope)
            let callerObject = object(.macro(caller, scope))
            try write(printed(evaluateCall(call, caller: callerObject, in: inner)))
        case .expression(let expression): _ = try evaluate(expression, in: scope)
        case .break: return .breakLoop
        case .continue: return .continueLoop
        }
        return .on
    }

    private func write(_ text: MarkedText) throws(JinjaError) {
        try spend(text.units.count)
        output.units += text.units
    }

    private func captured(
        _ body: [JinjaStatement], _ filters: [JinjaFilter], in scope: JinjaScope
    ) throws(JinjaError) -> TemplateValue {
        var value = TemplateValue.text(try captured(body, in: JinjaScope(in: scope)))
        for filter in filters {
            value = try apply(filter.name, to: value, try evaluate(filter.arguments, in: scope))
        }
        return value
    }

    private func captured(_ body: [JinjaStatement], in scope: JinjaScope) throws(JinjaError) -> MarkedText {
        let outer = output
        output = MarkedText()
        defer { output = outer }
        _ = try deeper { () throws(JinjaError) in try run(body, in: scope) }
        return output
    }

    private func run(_ loop: JinjaLoop, in scope: JinjaScope) throws(JinjaError) -> Flow {
        var items = try items(of: evaluate(loop.items, in: scope))
        if let condition = loop.condition {
            var kept: [TemplateValue] = []
            for item in items {
                try step()
                let inner = JinjaScope(in: scope)
                try assign(item, to: loop.target, in: inner)
                if try evaluate(condition, in: inner).isTrue { kept.append(item) }
            }
            items = kept
        }
        if items.isEmpty { return try deeper { () throws(JinjaError) in try run(loop.otherwise, in: scope) } }
        let depth = scope.loopDepth + 1
        let state = TemplateObject(.loop(LoopState(items: items, depth: depth)))
        for (index, item) in items.enumerated() {
            try step()
            state.kind = .loop(LoopState(index: index, items: items, depth: depth))
            let inner = JinjaScope(in: scope)
            inner.values["loop"] = .object(state)
            try assign(item, to: loop.target, in: inner)
            let flow = try deeper { () throws(JinjaError) in try run(loop.body, in: inner) }
            if flow == .breakLoop { break }
        }
        return .on
    }

    private func assign(
        _ value: TemplateValue, to target: JinjaTarget, in scope: JinjaScope
    ) throws(JinjaError) {
        switch target {
        case .name(let name): scope.values[name] = value
        case .names(let names):
            let parts = try items(of: value)
            guard parts.count == names.count else {
                throw JinjaError(.runtime, "\(parts.count) values can't be assigned to \(names.count) names")
            }
            for (name, part) in zip(names, parts) { scope.values[name] = part }
        case .attribute(let name, let attribute):
            guard case .object(let object)? = scope[name], case .namespace(var members) = object.kind else {
                throw JinjaError(.runtime, "\(name) isn't a namespace, so \(name).\(attribute) can't be set")
            }
            _ = try weight(of: value)
            members[attribute] = value
            object.kind = .namespace(members)
        }
    }

    /// What a loop goes through.
    func items(of value: TemplateValue) throws(JinjaError) -> [TemplateValue] {
        switch value {
        case .undefined: return []
        case .list(let items): return items
        case .mapping(let mapping): return mapping.keys.map(\.value)
        case .text(let text):
            try spend(text.units.count)
            return text.units.map { .text(MarkedText(units: [$0])) }
        default: throw JinjaError(.runtime, "\(value.kind) has no items")
        }
    }

    // MARK: Macros

    func call(
        _ macro: JinjaMacro, _ outer: JinjaScope, _ arguments: JinjaCall, caller: TemplateValue?
    ) throws(JinjaError) -> TemplateValue {
        try arguments.check(macro.parameters.map(\.name), of: macro.name)
        let scope = JinjaScope(in: outer)
        if let caller { scope.values["caller"] = caller }
        for (place, parameter) in macro.parameters.enumerated() {
            if let value = arguments.value(place, parameter.name) {
                scope.values[parameter.name] = value
            } else if let fallback = parameter.fallback {
                scope.values[parameter.name] = try evaluate(fallback, in: scope)
            } else {
                scope.values[parameter.name] = .undefined(parameter.name)
            }
        }
        return .text(try captured(macro.body, in: scope))
    }
}

extension JinjaScope {
    fileprivate var loopDepth: Int {
        guard case .object(let object)? = self["loop"], case .loop(let state) = object.kind else { return 0 }
        return state.depth
    }
}

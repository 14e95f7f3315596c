/// Jinja's tests: what stands after `is`.
enum JinjaTests {
    static let names: Set<String> = [
        "defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping",
        "sequence", "iterable", "callable", "odd", "even", "divisibleby", "lower", "upper", "in", "sameas", "eq",
        "equalto", "ne", "lt", "lessthan", "le", "gt", "greaterthan", "ge",
    ]

    static func test(_ name: String, _ value: TemplateValue, _ call: JinjaCall) throws(JinjaError) -> Bool {
        guard names.contains(name) else { throw JinjaError(.runtime, "there is no test \"\(name)\"") }
        if let comparison = comparisons[name] {
            try call.check(["other"], of: name)
            guard let other = call.value(0, "other") else {
                throw JinjaError(.runtime, "the test \"\(name)\" needs a value to compare with")
            }
            return try value.compares(comparison, other)
        }
        switch (name, value) {
        case ("defined", .undefined): return false
        case ("defined", _), ("undefined", .undefined), ("none", .none), ("boolean", .boolean), ("integer", .integer),
            ("float", .number), ("number", .integer),
            ("number", .number), ("number", .boolean), ("string", .text), ("mapping", .mapping), ("sequence", .text),
            ("sequence", .list), ("sequence", .mapping), ("iterable", .text), ("iterable", .list),
            ("iterable", .mapping), ("iterable", .undefined), ("sequence", .undefined):
            return true
        case ("true", .boolean(let boolean)): return boolean
        case ("false", .boolean(let boolean)): return !boolean
        case ("callable", .object(let object)):
            switch object.kind {
            case .macro, .method, .function: return true
            case .namespace, .loop: return false
            }
        case ("lower", .text(let text)): return text.string == text.string.lowercased() && hasCase(text)
        case ("upper", .text(let text)): return text.string == text.string.uppercased() && hasCase(text)
        case ("odd", _): return try integer(value, name) % 2 != 0
        case ("even", _): return try integer(value, name) % 2 == 0
        case ("divisibleby", _):
            let divisor = try integer(call.value(0, "num") ?? .none, name)
            guard divisor != 0 else { throw JinjaError(.runtime, "division by zero") }
            return try integer(value, name).isMultiple(of: divisor)
        default: return false
        }
    }

    private static let comparisons: [String: JinjaComparison] = [
        "in": .isIn, "sameas": .equal, "eq": .equal, "equalto": .equal, "ne": .notEqual, "lt": .less, "lessthan": .less,
        "le": .lessOrEqual, "gt": .greater, "greaterthan": .greater, "ge": .greaterOrEqual,
    ]

    private static func integer(_ value: TemplateValue, _ name: String) throws(JinjaError) -> Int {
        guard let integer = value.asInteger else {
            throw JinjaError(.runtime, "the test \"\(name)\" needs an integer, not \(value.kind)")
        }
        return integer
    }

    private static func hasCase(_ text: MarkedText) -> Bool {
        text.scalars.contains { Unicode.Scalar($0)?.properties.isCased ?? false }
    }
}

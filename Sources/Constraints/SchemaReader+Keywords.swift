package import JSON

/// A property of an object's schema.
package struct SchemaProperty: Sendable {
    package let name: String
    package let schema: JSONValue
    package let isRequired: Bool
    package let path: String
}

extension SchemaReader {
    /// What an object's schema says of its properties, in their order.
    package static func properties(of schema: JSONValue, at path: String) throws(GrammarError) -> [SchemaProperty] {
        let members: [JSONValue.Member]
        switch schema["properties"] {
        case nil: members = []
        case .object(let found)?: members = found
        case let other?: throw GrammarError("\(path).properties", "expected an object, found \(other.kind)")
        }
        let names = Set(members.map(\.name))
        var required: Set<String> = []
        if let list = schema["required"] {
            guard let elements = list.array else {
                throw GrammarError("\(path).required", "expected an array of names, found \(list.kind)")
            }
            for (index, element) in elements.enumerated() {
                guard let name = element.string else {
                    throw GrammarError("\(path).required[\(index)]", "expected a name, found \(element.kind)")
                }
                guard names.contains(name) else {
                    throw GrammarError(
                        "\(path).required[\(index)]", "'\(name.prefix(80))' isn't among the properties",
                        isUnsupported: true)
                }
                required.insert(name)
            }
        }
        return members.map {
            SchemaProperty(
                name: $0.name, schema: $0.value, isRequired: required.contains($0.name),
                path: "\(path).properties.\($0.name)")
        }
    }

    /// nil if the schema doesn't say.
    func types(of schema: JSONValue, at path: String) throws(GrammarError) -> [String]? {
        guard let type = schema["type"] else { return nil }
        let known = ["object", "array", "string", "integer", "number", "boolean", "null"]
        var types: [String] = []
        for element in type.array ?? [type] {
            guard let name = element.string, known.contains(name) else {
                throw GrammarError("\(path).type", "expected one of \(known.joined(separator: ", ")), or several")
            }
            if !types.contains(name) { types.append(name) }
        }
        guard !types.isEmpty else { throw GrammarError("\(path).type", "no value has none of all types") }
        // Integers are numbers.
        return types.contains("number") ? types.filter { $0 != "integer" } : types
    }

    /// Of a schema without `type`: keywords that say something of one type are meant for that.
    static func types(impliedBy names: [String]) -> [String]? {
        let type = ["object", "array", "string", "number"].first { keywords[$0]?.isDisjoint(with: names) == false }
        return type.map { [$0] }
    }

    /// nil if the schema asks for none.
    package static func format(of schema: JSONValue, at path: String) throws(GrammarError) -> StringFormat? {
        guard let value = schema["format"] else { return nil }
        guard let format = value.string.flatMap(StringFormat.init) else {
            let known = StringFormat.allCases.map { "'\($0.rawValue)'" }.joined(separator: ", ")
            throw GrammarError("\(path).format", "this format isn't supported; \(known) are", isUnsupported: true)
        }
        for name in ["minLength", "maxLength"] where schema[name] != nil {
            throw GrammarError("\(path).\(name)", "isn't supported beside 'format'", isUnsupported: true)
        }
        return format
    }

    /// What bounds a number, itself included; nil if nothing does.
    ///
    /// - Parameter areWhole: whether the numbers are; then the bounds needn't be, and may be excluded.
    static func bounds(
        of schema: JSONValue, areWhole: Bool, at path: String
    ) throws(GrammarError) -> (low: Int?, high: Int?)? {
        func bound(
            _ keyword: String, _ exclusive: String, isLow: Bool
        ) throws(GrammarError) -> Int? {
            var found: Int?
            for name in [keyword, exclusive] {
                guard let value = schema[name] else { continue }
                guard let number = value.number else {
                    throw GrammarError("\(path).\(name)", "expected a number, found \(value.kind)")
                }
                let rounded = number.rounded(isLow ? .up : .down)
                // Beyond, not all whole numbers have a value of their own.
                guard abs(rounded) < 0x1p53 else {
                    throw GrammarError("\(path).\(name)", "is supported below 2^53", isUnsupported: true)
                }
                guard areWhole || (rounded == number && name == keyword) else {
                    throw GrammarError(
                        "\(path).\(name)", "is supported for integers; for numbers whole ones that are included are",
                        isUnsupported: true)
                }
                var bound = Int(rounded)
                if name == exclusive, rounded == number { bound += isLow ? 1 : -1 }
                found = found.map { isLow ? max($0, bound) : min($0, bound) } ?? bound
            }
            return found
        }
        let low = try bound("minimum", "exclusiveMinimum", isLow: true)
        let high = try bound("maximum", "exclusiveMaximum", isLow: false)
        if let low, let high, low > high {
            let name = schema["maximum"] == nil ? "exclusiveMaximum" : "maximum"
            throw GrammarError("\(path).\(name)", "is less than the least number that is allowed")
        }
        return low == nil && high == nil ? nil : (low, high)
    }

    /// How many characters a string's schema allows.
    package static func characterCounts(
        of schema: JSONValue, at path: String
    ) throws(GrammarError) -> (least: Int32, most: Int32?)? {
        guard schema["minLength"] != nil || schema["maxLength"] != nil else { return nil }
        return try counts(of: schema, "minLength", "maxLength", at: path)
    }

    static func counts(
        of schema: JSONValue, _ least: String, _ most: String, at path: String
    ) throws(GrammarError) -> (least: Int32, most: Int32?) {
        func count(_ name: String) throws(GrammarError) -> Int32? {
            guard let value = schema[name] else { return nil }
            guard let count = value.integer, 0...Int(Int32.max) ~= count else {
                throw GrammarError("\(path).\(name)", "expected a whole number, 0 or more, found \(value)")
            }
            return Int32(count)
        }
        let (low, high) = (try count(least) ?? 0, try count(most))
        if let high, high < low {
            throw GrammarError("\(path).\(most)", "\(high) is less than \(least), which is \(low)")
        }
        return (low, high)
    }

    /// Values that are spelt as they stand, without white space; only those of the types count.
    func literals(
        _ values: [JSONValue], _ types: [String]?, at path: String, _ builder: inout GrammarBuilder,
        then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        var texts: [[UInt8]] = []
        for value in values where types?.contains(where: { Self.is(value, $0) }) ?? true {
            guard Self.isFinite(value) else { throw GrammarError(path, "holds a number that is too large") }
            let text = value.encoded()
            try builder.checkSpelling(of: text, at: path)
            texts.append(text)
        }
        guard !texts.isEmpty else { throw GrammarError(path, "holds no value of the type that the schema asks for") }
        return try builder.oneOf(texts.map { ($0, next) })
    }

    private static func `is`(_ value: JSONValue, _ type: String) -> Bool {
        switch value {
        case .null: type == "null"
        case .bool: type == "boolean"
        case .integer: type == "integer" || type == "number"
        case .number: type == "number"
        case .string: type == "string"
        case .array: type == "array"
        case .object: type == "object"
        }
    }

    private static func isFinite(_ value: JSONValue) -> Bool {
        switch value {
        case .number(let number): number.isFinite
        case .array(let elements): elements.allSatisfy(isFinite)
        case .object(let members): members.allSatisfy { isFinite($0.value) }
        default: true
        }
    }
}

extension GrammarBuilder {
    /// Throws for text that whoever reads the answer would take for a marker.
    package func checkSpelling(of text: [UInt8], at path: String) throws(GrammarError) {
        guard !avoided.contains(where: { text.contains($0) }) else {
            throw GrammarError(path, "holds what this model's answers take for a marker", isUnsupported: true)
        }
    }
}

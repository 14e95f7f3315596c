package import JSON

/// Makes a grammar's rules of a JSON schema.
///
/// Read are `type`, `enum`, `const`, `anyOf`, `oneOf` (as `anyOf`), `allOf` of one schema, `$ref` within the schema,
/// `properties`, `required`, `additionalProperties`, `items`, `minItems`, `maxItems`, `minLength`, `maxLength`, the formats of
/// `StringFormat`, `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, and what only describes. Any other keyword is
/// an error that names its place. Members come in the order of `properties`. Where the schema says nothing of further members
/// an object has none, which every schema allows: a model asked for a form fills it in, and doesn't add to it.
package struct SchemaReader {
    private static let annotations: Set = [
        "$schema", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "deprecated",
        "readOnly", "writeOnly", "discriminator",
    ]
    private static let mostReferences = 1024
    private static let numericKeywords: Set = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]
    /// By the type that they say something of.
    static let keywords: [String: Set<String>] = [
        "object": ["properties", "required", "additionalProperties"],
        "array": ["items", "minItems", "maxItems"],
        "string": ["minLength", "maxLength", "format"],
        "integer": numericKeywords, "number": numericKeywords, "boolean": [], "null": [],
    ]

    private let root: JSONValue
    private let path: String
    /// By what stands in `$ref`.
    private var references: [String: Grammar.RuleID] = [:]
    /// Referred to, and not made yet.
    private var waiting: [(rule: Grammar.RuleID, schema: JSONValue, path: String)] = []

    private init(_ root: JSONValue, path: String) {
        self.root = root
        self.path = path
    }

    /// The values that fit a schema.
    ///
    /// - Parameter path: where the schema stands in the request.
    package static func values(
        of schema: JSONValue, path: String, in builder: inout GrammarBuilder
    ) throws(GrammarError) -> Grammar.RuleID {
        try value(of: schema, in: schema, at: path, root: path, &builder)
    }

    /// The values that fit one of a schema's properties.
    package static func values(
        ofProperty name: String, of schema: JSONValue, path: String, in builder: inout GrammarBuilder
    ) throws(GrammarError) -> Grammar.RuleID {
        guard let property = schema["properties"]?[name] else {
            throw GrammarError("\(path).properties.\(name)", "there is no such property")
        }
        return try value(of: property, in: schema, at: "\(path).properties.\(name)", root: path, &builder)
    }

    private static func value(
        of schema: JSONValue, in root: JSONValue, at path: String, root rootPath: String,
        _ builder: inout GrammarBuilder
    ) throws(GrammarError) -> Grammar.RuleID {
        var reader = SchemaReader(root, path: rootPath)
        do {
            let rule = try builder.reserveRule()
            builder.define(rule, start: try reader.value(schema, at: path, &builder, then: builder.end))
            while let (rule, schema, path) = reader.waiting.popLast() {
                builder.define(rule, start: try reader.value(schema, at: path, &builder, then: builder.end))
            }
            return rule
        } catch {
            // The builder doesn't know where it is.
            throw error.path.isEmpty ? GrammarError(rootPath, error.message, isUnsupported: error.isUnsupported) : error
        }
    }

    // MARK: Values

    private mutating func value(
        _ schema: JSONValue, at path: String, _ builder: inout GrammarBuilder, then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        if schema == .bool(true) { return try builder.call(builder.anyValue(), then: next) }
        guard case .object(let members) = schema else {
            throw GrammarError(path, "expected a schema, found \(schema.kind)", isUnsupported: schema.bool != nil)
        }
        let names = members.map(\.name).filter { !Self.annotations.contains($0) }
        func only(_ keyword: String, beside others: Set<String> = []) throws(GrammarError) {
            if let other = names.first(where: { $0 != keyword && !others.contains($0) }) {
                throw GrammarError("\(path).\(other)", "isn't supported beside '\(keyword)'", isUnsupported: true)
            }
        }
        if let reference = schema["$ref"] {
            try only("$ref")
            return try builder.call(rule(of: reference, at: "\(path).$ref", &builder), then: next)
        }
        // Values that fit several branches of `oneOf` are taken too: schemas have branches that exclude each other.
        for keyword in ["anyOf", "oneOf"] {
            guard let branches = schema[keyword] else { continue }
            try only(keyword)
            return try anyOf(branches, at: "\(path).\(keyword)", &builder, then: next)
        }
        if let parts = schema["allOf"] {
            try only("allOf")
            guard let part = parts.array?.first, parts.array?.count == 1 else {
                throw GrammarError("\(path).allOf", "is supported with one schema in it", isUnsupported: true)
            }
            return try value(part, at: "\(path).allOf[0]", &builder, then: next)
        }
        if let constant = schema["const"] {
            try only("const", beside: ["type"])
            let types = try types(of: schema, at: path)
            return try literals([constant], types, at: "\(path).const", &builder, then: next)
        }
        if let values = schema["enum"] {
            try only("enum", beside: ["type"])
            guard let values = values.array, !values.isEmpty else {
                throw GrammarError("\(path).enum", "expected an array of values")
            }
            return try literals(values, types(of: schema, at: path), at: "\(path).enum", &builder, then: next)
        }
        let types = try types(of: schema, at: path) ?? Self.types(impliedBy: names)
        for name in names where name != "type" {
            guard Self.keywords.values.contains(where: { $0.contains(name) }) else {
                throw GrammarError("\(path).\(name)", "this keyword isn't supported", isUnsupported: true)
            }
            guard types?.contains(where: { Self.keywords[$0]?.contains(name) ?? false }) ?? false else {
                throw GrammarError("\(path).\(name)", "means nothing for this schema's type")
            }
        }
        guard let types else { return try builder.call(builder.anyValue(), then: next) }
        var starts: [Grammar.StateID] = []
        for type in types { starts.append(try value(of: type, schema, at: path, &builder, then: next)) }
        return try builder.fork(starts)
    }

    private mutating func value(
        of type: String, _ schema: JSONValue, at path: String, _ builder: inout GrammarBuilder,
        then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        switch type {
        case "null": return try builder.text("null", then: next)
        case "boolean": return try builder.fork([builder.text("true", then: next), builder.text("false", then: next)])
        case "integer":
            guard let (low, high) = try Self.bounds(of: schema, areWhole: true, at: path) else {
                return try builder.call(builder.anyInteger(), then: next)
            }
            return try builder.integer(from: low, to: high, then: next)
        case "number":
            guard let (low, high) = try Self.bounds(of: schema, areWhole: false, at: path) else {
                return try builder.call(builder.anyNumber(), then: next)
            }
            return try builder.number(from: low, to: high, then: next)
        case "string":
            if let format = try Self.format(of: schema, at: path) {
                return try builder.text("\"", then: builder.format(format, then: builder.text("\"", then: next)))
            }
            guard let counts = try Self.characterCounts(of: schema, at: path) else {
                return try builder.call(builder.anyString(), then: next)
            }
            let rule = try builder.reserveRule()
            builder.define(rule, start: try builder.string(counts: counts))
            return try builder.call(rule, then: next)
        case "array":
            let counts = try Self.counts(of: schema, "minItems", "maxItems", at: path)
            let rule = try builder.reserveRule(nests: true)
            builder.define(
                rule,
                start: try builder.array(counts: counts) { (builder, next) throws(GrammarError) in
                    try value(schema["items"] ?? .bool(true), at: "\(path).items", &builder, then: next)
                })
            return try builder.call(rule, then: next)
        default:
            let rule = try builder.reserveRule(nests: true)
            builder.define(rule, start: try object(schema, at: path, &builder))
            return try builder.call(rule, then: next)
        }
    }

    /// From an object's brace to its brace.
    private mutating func object(
        _ schema: JSONValue, at path: String, _ builder: inout GrammarBuilder
    ) throws(GrammarError) -> Grammar.StateID {
        let properties = try Self.properties(of: schema, at: path)
        let close = try builder.text("}", then: builder.end)
        var first = [close]
        var later = [close]
        let further = schema["additionalProperties"] ?? .bool(false)
        if further != .bool(false) {
            let names = properties.map(\.name)
            let members = try builder.freeMembers(apartFrom: names) { (builder, next) throws(GrammarError) in
                try value(further, at: "\(path).additionalProperties", &builder, then: next)
            }
            first.append(members)
            later.append(try builder.text(",", then: builder.optionalSpace(then: members)))
        }
        // Where the object goes on from a place between two properties: as long as it is empty, and once it isn't.
        var (whenEmpty, whenNot) = (try builder.fork(first), try builder.fork(later))
        for property in properties.reversed() {
            let behind = try builder.optionalSpace(then: whenNot)
            let inner = try value(property.schema, at: property.path, &builder, then: behind)
            let key = JSONValue.string(property.name).encoded() + Array(":".utf8)
            try builder.checkSpelling(of: key, at: property.path)
            let member = try builder.bytes(key, then: builder.optionalSpace(then: inner))
            let following = try builder.text(",", then: builder.optionalSpace(then: member))
            whenEmpty = property.isRequired ? member : try builder.fork([member, whenEmpty])
            whenNot = property.isRequired ? following : try builder.fork([following, whenNot])
        }
        return try builder.text("{", then: builder.optionalSpace(then: whenEmpty))
    }

    private mutating func anyOf(
        _ branches: JSONValue, at path: String, _ builder: inout GrammarBuilder, then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        guard let branches = branches.array, !branches.isEmpty else {
            throw GrammarError(path, "expected an array of schemas")
        }
        var starts: [Grammar.StateID] = []
        for (index, branch) in branches.enumerated() {
            starts.append(try value(branch, at: "\(path)[\(index)]", &builder, then: next))
        }
        return try builder.fork(starts)
    }

    // MARK: References

    private mutating func rule(
        of reference: JSONValue, at path: String, _ builder: inout GrammarBuilder
    ) throws(GrammarError) -> Grammar.RuleID {
        guard let pointer = reference.string else { throw GrammarError(path, "expected a string") }
        if let known = references[pointer] { return known }
        guard let target = target(of: pointer) else {
            throw GrammarError(
                path, "'\(pointer.prefix(80))' is no place in this schema, as '#/$defs/NAME' is", isUnsupported: true)
        }
        guard references.count < Self.mostReferences else {
            throw GrammarError(path, "more than \(Self.mostReferences) places are referred to", isUnsupported: true)
        }
        let rule = try builder.reserveRule()
        references[pointer] = rule
        waiting.append((rule, target, self.path + pointer.dropFirst().replacing("/", with: ".")))
        return rule
    }

    /// What a JSON pointer (RFC 6901) in a fragment leads to.
    private func target(of pointer: String) -> JSONValue? {
        guard pointer.first == "#" else { return nil }
        if pointer == "#" { return root }
        guard pointer.hasPrefix("#/") else { return nil }
        var place = root
        for part in pointer.dropFirst(2).split(separator: "/", omittingEmptySubsequences: false) {
            let name = String(part).replacing("~1", with: "/").replacing("~0", with: "~")
            if let elements = place.array {
                guard let index = Int(name), elements.indices.contains(index) else { return nil }
                place = elements[index]
            } else {
                guard let member = place[name] else { return nil }
                place = member
            }
        }
        return place
    }
}

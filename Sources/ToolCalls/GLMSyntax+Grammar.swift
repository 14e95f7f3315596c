package import Constraints
import JSON

extension GLMSyntax {
    package var avoided: [String] { [tags[3], closing] }

    package func calls(
        _ rules: CallRules, in builder: inout GrammarBuilder, then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        var functions: [(name: String, rule: Grammar.RuleID)] = []
        for function in rules.functions {
            // A rule of its own, which tells the keys apart.
            let rule = try builder.reserveRule(nests: true)
            let start = try function.isStrict ? properties(of: function, in: &builder) : anything(in: &builder)
            builder.define(rule, start: start)
            functions.append((function.name, rule))
        }
        return try rules.calls(in: &builder, then: next) { (builder, call) throws(GrammarError) in
            try builder.optionalSpace(then: builder.marker(opening, then: call))
        } _: { (builder, next) throws(GrammarError) in
            try builder.name(of: functions, \.name) { (builder, function) throws(GrammarError) in
                try builder.call(function.rule, then: next)
            }
        }
    }

    /// Arguments with any names and texts, to the call's end.
    private func anything(in builder: inout GrammarBuilder) throws(GrammarError) -> Grammar.StateID {
        let again = try builder.reserve()
        let behind = try close(in: &builder, then: again)
        let text = try builder.characters(.plain, avoiding: avoided.map { Array($0.utf8) }, then: behind)
        let letters = ByteSet(0x21...0x7E).subtracting(ByteSet("<\"\\".utf8))
        let value = try builder.optionalSpace(then: builder.marker(tags[2], then: text))
        let key = try builder.key(of: letters, before: tags[1], then: value)
        builder.define(again, [try end(in: &builder), try builder.marker(tags[0], then: key)])
        return try builder.optionalSpace(then: again)
    }

    /// The arguments that a schema allows, to the call's end.
    private func properties(
        of function: CallRules.Function, in builder: inout GrammarBuilder
    ) throws(GrammarError) -> Grammar.StateID {
        let schema = function.schema
        for name in ["$ref", "anyOf", "oneOf", "allOf", "enum", "const"] where schema[name] != nil {
            throw GrammarError(
                "\(function.path).\(name)",
                "this model's calls name their arguments, so a schema of 'properties' is needed",
                isUnsupported: true)
        }
        // Read once as a whole, for all of its keywords to be checked.
        _ = try SchemaReader.values(of: schema, path: function.path, in: &builder)
        var start = try end(in: &builder)
        for property in try SchemaReader.properties(of: schema, at: function.path).reversed() {
            let behind = try close(in: &builder, then: start)
            let value = try value(of: property, function, in: &builder, then: behind)
            let name = property.name
            guard CallReading.trimmed(name) == name, !name.contains("<") else {
                throw GrammarError(property.path, "this model's calls can't spell such a name", isUnsupported: true)
            }
            let opened = try builder.optionalSpace(then: builder.marker(tags[2], then: value))
            let spelt = try builder.text(name, then: builder.marker(tags[1], then: opened))
            let argument = try builder.marker(tags[0], then: spelt)
            start = property.isRequired ? argument : try builder.fork([argument, start])
        }
        return try builder.optionalSpace(then: start)
    }

    /// A string stands as it is, all else as JSON.
    private func value(
        of property: SchemaProperty, _ function: CallRules.Function, in builder: inout GrammarBuilder,
        then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        guard property.schema["type"]?.string == "string" else {
            let rule = try SchemaReader.values(
                ofProperty: property.name, of: function.schema, path: function.path, in: &builder)
            return try builder.call(rule, then: next)
        }
        if let values = property.schema["enum"]?.array ?? property.schema["const"].map({ [$0] }) {
            var texts: [(bytes: [UInt8], next: Grammar.StateID)] = []
            for case .string(let text) in values {
                try builder.checkSpelling(of: Array(text.utf8), at: property.path)
                texts.append((Array(text.utf8), next))
            }
            return try builder.oneOf(texts)
        }
        if let format = try SchemaReader.format(of: property.schema, at: property.path) {
            return try builder.format(format, then: next)
        }
        let counts = try SchemaReader.characterCounts(of: property.schema, at: property.path)
        return try builder.characters(.plain, avoiding: avoided.map { Array($0.utf8) }, counts: counts, then: next)
    }

    private func end(in builder: inout GrammarBuilder) throws(GrammarError) -> Grammar.StateID {
        try builder.marker(closing, then: builder.end)
    }

    /// Behind a value.
    private func close(
        in builder: inout GrammarBuilder, then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        try builder.marker(tags[3], then: builder.optionalSpace(then: next))
    }
}

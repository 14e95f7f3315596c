import Constraints
package import JSON

/// The calls that an answer may make.
package struct CallRules: Sendable {
    package struct Function: Sendable {
        package var name: String
        /// A JSON schema; nil if the function takes nothing.
        package var parameters: JSONValue?
        /// Whether its arguments fit the schema; else they are any JSON object.
        package var isStrict: Bool
        /// Where the schema stands in the request.
        package var path: String

        package init(name: String, parameters: JSONValue?, isStrict: Bool, path: String) {
            self.name = name
            self.parameters = parameters
            self.isStrict = isStrict
            self.path = path
        }

        var schema: JSONValue { parameters ?? .object([.init(name: "type", value: .string("object"))]) }
    }

    /// At least one; their names are letters, digits, points, dashes and underscores.
    package var functions: [Function]
    /// Whether one call is all.
    package var isSingle: Bool

    package init(functions: [Function], isSingle: Bool) {
        self.functions = functions
        self.isSingle = isSingle
    }

    /// What each function's arguments are as JSON.
    func arguments(in builder: inout GrammarBuilder) throws(GrammarError) -> [(name: String, rule: Grammar.RuleID)] {
        var rules: [(name: String, rule: Grammar.RuleID)] = []
        for function in functions {
            let rule =
                if function.isStrict {
                    try SchemaReader.values(of: function.schema, path: function.path, in: &builder)
                } else {
                    try builder.anyObject()
                }
            rules.append((function.name, rule))
        }
        return rules
    }

    /// A call, or several one after the other.
    ///
    /// - Parameters:
    ///   - call: a call and then the state that it is given.
    ///   - separator: what stands between calls.
    func calls(
        in builder: inout GrammarBuilder, then next: Grammar.StateID,
        separator: (inout GrammarBuilder, Grammar.StateID) throws(GrammarError) -> Grammar.StateID,
        _ call: (inout GrammarBuilder, Grammar.StateID) throws(GrammarError) -> Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        if isSingle { return try call(&builder, next) }
        let behind = try builder.reserve()
        let start = try call(&builder, behind)
        builder.define(behind, [next, try separator(&builder, start)])
        return start
    }
}

extension GrammarBuilder {
    /// One of the functions' names, then what `behind` gives for it.
    mutating func name<Function>(
        of functions: [Function], _ name: (Function) -> String,
        _ behind: (inout Self, Function) throws(GrammarError) -> StateID
    ) throws(GrammarError) -> StateID {
        var texts: [(bytes: [UInt8], next: StateID)] = []
        for function in functions { texts.append((Array(name(function).utf8), try behind(&self, function))) }
        return try oneOf(texts)
    }

    /// `{"name": NAME, "arguments": {…}}`.
    mutating func callObject(
        _ functions: [(name: String, rule: RuleID)], then next: StateID
    ) throws(GrammarError) -> StateID {
        let close = try optionalSpace(then: text("}", then: next))
        let name = try name(of: functions, \.name) { (builder, function) throws(GrammarError) in
            let arguments = try builder.optionalSpace(then: builder.call(function.rule, then: close))
            let key = try builder.optionalSpace(then: builder.text("\"arguments\":", then: arguments))
            return try builder.text("\",", then: key)
        }
        let key = try text("\"name\":", then: optionalSpace(then: text("\"", then: name)))
        return try text("{", then: optionalSpace(then: key))
    }
}

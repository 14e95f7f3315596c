/// Expressions, in Jinja's order of precedence from the loosest to the tightest.
extension JinjaParser {
    mutating func expression() throws(JinjaError) -> JinjaExpression {
        try nested { parser throws(JinjaError) in
            var value = try parser.disjunction()
            var links = 0
            while parser.skip(.name("if")) {
                try parser.count(&links)
                let condition = try parser.disjunction()
                let otherwise = parser.skip(.name("else")) ? try parser.expression() : nil
                value = .condition(if: condition, then: value, else: otherwise)
            }
            return value
        }
    }

    /// `a, b` is a list too.
    mutating func expressionOrTuple() throws(JinjaError) -> JinjaExpression {
        try tuple { parser throws(JinjaError) in try parser.expression() }
    }

    /// What a loop goes through: an `if` after it is the loop's.
    mutating func expressionWithoutCondition() throws(JinjaError) -> JinjaExpression {
        try tuple { parser throws(JinjaError) in try parser.disjunction() }
    }

    private mutating func tuple(
        _ element: (inout JinjaParser) throws(JinjaError) -> JinjaExpression
    ) throws(JinjaError) -> JinjaExpression {
        let first = try element(&self)
        guard current == .symbol(",") else { return first }
        var elements = [first]
        while skip(symbol: ",") {
            if current == .symbol(")") || current == .blockEnd || current == .outputEnd { break }
            elements.append(try element(&self))
        }
        return .list(elements)
    }

    private mutating func disjunction() throws(JinjaError) -> JinjaExpression {
        var value = try conjunction()
        var links = 0
        while skip(.name("or")) {
            try count(&links)
            value = .or(value, try conjunction())
        }
        return value
    }

    private mutating func conjunction() throws(JinjaError) -> JinjaExpression {
        var value = try negation()
        var links = 0
        while skip(.name("and")) {
            try count(&links)
            value = .and(value, try negation())
        }
        return value
    }

    private mutating func negation() throws(JinjaError) -> JinjaExpression {
        guard skip(.name("not")) else { return try comparison() }
        return try nested { parser throws(JinjaError) in .not(try parser.negation()) }
    }

    private mutating func comparison() throws(JinjaError) -> JinjaExpression {
        let value = try sum()
        var others: [(JinjaComparison, JinjaExpression)] = []
        while let comparison = nextComparison() { others.append((comparison, try sum())) }
        return others.isEmpty ? value : .comparison(value, others)
    }

    private mutating func nextComparison() -> JinjaComparison? {
        switch current {
        case .symbol(let symbol):
            guard let comparison = JinjaComparison(rawValue: symbol) else { return nil }
            advance()
            return comparison
        case .name("in"):
            advance()
            return .isIn
        case .name("not") where following == .name("in"):
            advance()
            advance()
            return .isNotIn
        default: return nil
        }
    }

    private mutating func sum() throws(JinjaError) -> JinjaExpression {
        try chain(["+", "-"]) { parser throws(JinjaError) in try parser.concatenation() }
    }

    private mutating func concatenation() throws(JinjaError) -> JinjaExpression {
        try chain(["~"]) { parser throws(JinjaError) in try parser.product() }
    }

    private mutating func product() throws(JinjaError) -> JinjaExpression {
        try chain(["*", "/", "//", "%"]) { parser throws(JinjaError) in try parser.power() }
    }

    private mutating func power() throws(JinjaError) -> JinjaExpression {
        try chain(["**"]) { parser throws(JinjaError) in try parser.unary(withFilters: true) }
    }

    private mutating func chain(
        _ symbols: Set<String>, _ operand: (inout JinjaParser) throws(JinjaError) -> JinjaExpression
    ) throws(JinjaError) -> JinjaExpression {
        var value = try operand(&self)
        var links = 0
        while case .symbol(let symbol) = current, symbols.contains(symbol), let known = JinjaOperator(rawValue: symbol)
        {
            try count(&links)
            advance()
            value = .arithmetic(known, value, try operand(&self))
        }
        return value
    }

    private mutating func unary(withFilters: Bool) throws(JinjaError) -> JinjaExpression {
        try nested { parser throws(JinjaError) in
            var value: JinjaExpression
            if parser.skip(symbol: "-") {
                value = .negative(try parser.unary(withFilters: false))
            } else if parser.skip(symbol: "+") {
                value = try parser.unary(withFilters: false)
            } else {
                value = try parser.primary()
            }
            value = try parser.postfix(value)
            return withFilters ? try parser.filtersAndTests(value) : value
        }
    }

    private mutating func primary() throws(JinjaError) -> JinjaExpression {
        guard let token = current else { throw unexpected(wanted: "a value") }
        switch token {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return .literal(.boolean(true))
            case "false", "False": return .literal(.boolean(false))
            case "none", "None": return .literal(.none)
            default: return .name(name)
            }
        case .string(var text):
            advance()
            while case .string(let more) = current {
                text += more
                advance()
            }
            return .literal(.text(MarkedText(text)))
        case .integer(let value):
            advance()
            return .literal(.integer(value))
        case .number(let value):
            advance()
            return .literal(.number(value))
        case .symbol("("):
            advance()
            if skip(symbol: ")") { return .list([]) }
            let value = try expressionOrTuple()
            try expect(symbol: ")")
            return value
        case .symbol("["):
            advance()
            return .list(try elements(until: "]") { parser throws(JinjaError) in try parser.expression() })
        case .symbol("{"):
            advance()
            return .mapping(
                try elements(until: "}") { parser throws(JinjaError) in
                    let key = try parser.expression()
                    try parser.expect(symbol: ":")
                    return (key, try parser.expression())
                })
        default: throw unexpected(wanted: "a value")
        }
    }

    private mutating func elements<Element>(
        until end: String, _ element: (inout JinjaParser) throws(JinjaError) -> Element
    ) throws(JinjaError) -> [Element] {
        var elements: [Element] = []
        while !skip(symbol: end) {
            if !elements.isEmpty { try expect(symbol: ",") }
            if skip(symbol: end) { break }
            elements.append(try element(&self))
        }
        return elements
    }

    private mutating func postfix(_ start: JinjaExpression) throws(JinjaError) -> JinjaExpression {
        var value = start
        var links = 0
        while true {
            try count(&links)
            if skip(symbol: ".") {
                if case .integer(let index) = current {
                    advance()
                    value = .item(value, .literal(.integer(index)))
                } else {
                    value = .attribute(value, try expectName())
                }
            } else if skip(symbol: "[") {
                value = try subscripted(value)
            } else if current == .symbol("(") {
                value = .call(value, try arguments())
            } else {
                return value
            }
        }
    }

    private mutating func subscripted(_ value: JinjaExpression) throws(JinjaError) -> JinjaExpression {
        let start = current == .symbol(":") ? nil : try expression()
        guard skip(symbol: ":") else {
            try expect(symbol: "]")
            guard let start else { throw unexpected(wanted: "an index") }
            return .item(value, start)
        }
        func isEnd(_ token: JinjaToken?) -> Bool { token == .symbol("]") || token == .symbol(":") }
        let end = isEnd(current) ? nil : try expression()
        var step: JinjaExpression?
        if skip(symbol: ":"), !isEnd(current) { step = try expression() }
        try expect(symbol: "]")
        return .slice(value, start: start, end: end, step: step)
    }

    private mutating func filtersAndTests(_ start: JinjaExpression) throws(JinjaError) -> JinjaExpression {
        var value = start
        var links = 0
        while true {
            try count(&links)
            if skip(symbol: "|") {
                let name = try expectName()
                value = .filter(value, name, current == .symbol("(") ? try arguments() : JinjaArguments())
            } else if skip(.name("is")) {
                let isNegated = skip(.name("not"))
                let test = JinjaExpression.test(value, try expectName(), try testArguments())
                value = isNegated ? .not(test) : test
            } else if current == .symbol("(") {
                value = .call(value, try arguments())
            } else {
                return value
            }
        }
    }

    /// In brackets, or one value without them.
    private mutating func testArguments() throws(JinjaError) -> JinjaArguments {
        switch current {
        case .symbol("("): return try arguments()
        case .name(let name) where ["else", "or", "and", "is", "if", "in", "not"].contains(name):
            return JinjaArguments()
        case .name, .string, .integer, .number, .symbol("["), .symbol("{"):
            return JinjaArguments(positional: [try postfix(try primary())])
        default: return JinjaArguments()
        }
    }

    mutating func arguments() throws(JinjaError) -> JinjaArguments {
        try expect(symbol: "(")
        var arguments = JinjaArguments()
        _ = try elements(until: ")") { parser throws(JinjaError) in
            if case .name(let name) = parser.current, parser.following == .symbol("=") {
                parser.advance()
                parser.advance()
                arguments.named.append((name, try parser.expression()))
            } else {
                guard arguments.named.isEmpty else {
                    throw parser.failure("an argument without a name follows one with a name")
                }
                arguments.positional.append(try parser.expression())
            }
        }
        return arguments
    }
}

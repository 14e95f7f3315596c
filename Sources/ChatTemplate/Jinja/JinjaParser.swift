/// Parses a template into statements.
struct JinjaParser {
    /// Nesting of statements and expressions: each level is a call or two of the parser and of the interpreter.
    private static let depthLimit = 100

    private static let chainLimit = 200

    private let tokens: [JinjaLexer.Token]
    private var place = 0
    private var depth = 0
    private var loopDepth = 0

    static func parse(_ template: String) throws(JinjaError) -> [JinjaStatement] {
        var parser = JinjaParser(tokens: try JinjaLexer.tokens(of: template))
        return try parser.body(until: []).statements
    }

    private init(tokens: [JinjaLexer.Token]) {
        self.tokens = tokens
    }

    // MARK: Tokens, as the expressions' part needs them too

    var current: JinjaToken? { place < tokens.count ? tokens[place].token : nil }
    var following: JinjaToken? { place + 1 < tokens.count ? tokens[place + 1].token : nil }
    var line: Int { place < tokens.count ? tokens[place].line : tokens.last?.line ?? 1 }

    mutating func advance() { place += 1 }

    mutating func skip(_ token: JinjaToken) -> Bool {
        guard current == token else { return false }
        place += 1
        return true
    }

    mutating func skip(symbol: String) -> Bool { skip(.symbol(symbol)) }

    mutating func expect(_ token: JinjaToken) throws(JinjaError) {
        guard skip(token) else { throw unexpected(wanted: Self.describe(token)) }
    }

    mutating func expect(symbol: String) throws(JinjaError) { try expect(.symbol(symbol)) }

    mutating func expectName() throws(JinjaError) -> String {
        guard case .name(let name) = current else { throw unexpected(wanted: "a name") }
        place += 1
        return name
    }

    func unexpected(wanted: String) -> JinjaError {
        JinjaError(.syntax, "expected \(wanted), found \(current.map(Self.describe) ?? "the end")", line: line)
    }

    func failure(_ message: String) -> JinjaError { JinjaError(.syntax, message, line: line) }

    private static func describe(_ token: JinjaToken) -> String {
        switch token {
        case .text: "text"
        case .blockBegin: "{%"
        case .blockEnd: "%}"
        case .outputBegin: "{{"
        case .outputEnd: "}}"
        case .name(let name): "\"\(name)\""
        case .string(let text): "the string \"\(text.prefix(40))\""
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .symbol(let symbol): "\"\(symbol)\""
        }
    }

    mutating func nested<Result>(
        _ parse: (inout JinjaParser) throws(JinjaError) -> Result
    ) throws(JinjaError) -> Result {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else {
            throw JinjaError(.limit, "nested deeper than \(Self.depthLimit) levels", line: line)
        }
        return try parse(&self)
    }

    /// A chain of operators makes a tree as deep as it is long.
    func count(_ links: inout Int) throws(JinjaError) {
        links += 1
        guard links <= Self.chainLimit else {
            throw JinjaError(.limit, "an expression has more than \(Self.chainLimit) links", line: line)
        }
    }

    // MARK: Statements

    /// Statements up to a tag that begins with one of `ends`, whose word is consumed; up to the end if there are none.
    private mutating func body(
        until ends: [String]
    ) throws(JinjaError) -> (statements: [JinjaStatement], end: String) {
        try nested { parser throws(JinjaError) in
            var statements: [JinjaStatement] = []
            while let token = parser.current {
                let line = parser.line
                switch token {
                case .text(let text):
                    parser.advance()
                    statements.append(JinjaStatement(line: line, kind: .text(MarkedText(text))))
                case .outputBegin:
                    parser.advance()
                    let value = try parser.expressionOrTuple()
                    try parser.expect(.outputEnd)
                    statements.append(JinjaStatement(line: line, kind: .output(value)))
                default:
                    parser.advance()
                    let word = try parser.expectName()
                    if ends.contains(word) { return (statements, word) }
                    // The tag of a training set's mask: what it encloses is rendered as it is.
                    if word == "generation" || word == "endgeneration" {
                        try parser.expect(.blockEnd)
                        continue
                    }
                    statements.append(JinjaStatement(line: line, kind: try parser.statement(word)))
                }
            }
            guard ends.isEmpty else { throw parser.failure("expected {% \(ends.joined(separator: " or ")) %}") }
            return (statements, "")
        }
    }

    private mutating func body(untilEnd end: String) throws(JinjaError) -> [JinjaStatement] {
        try expect(.blockEnd)
        let statements = try body(until: [end]).statements
        try expect(.blockEnd)
        return statements
    }

    private mutating func statement(_ word: String) throws(JinjaError) -> JinjaStatement.Kind {
        switch word {
        case "if": return try conditional()
        case "for": return try loop()
        case "set": return try assignment()
        case "macro":
            let name = try expectName()
            let parameters = try self.parameters()
            return .macro(JinjaMacro(name: name, parameters: parameters, body: try body(untilEnd: "endmacro")))
        case "call":
            let parameters = current == .symbol("(") ? try self.parameters() : []
            let call = try expression()
            guard case .call = call else { throw failure("{% call %} needs a call") }
            let body = try body(untilEnd: "endcall")
            return .call(call, caller: JinjaMacro(name: "caller", parameters: parameters, body: body))
        case "filter":
            let filters = try filterChain()
            return .filtered(filters, try body(untilEnd: "endfilter"))
        case "do":
            let value = try expressionOrTuple()
            try expect(.blockEnd)
            return .expression(value)
        case "break", "continue":
            guard loopDepth > 0 else { throw failure("{% \(word) %} stands outside of a loop") }
            try expect(.blockEnd)
            return word == "break" ? .break : .continue
        default: throw failure("{% \(word) %} isn't supported")
        }
    }

    private mutating func conditional() throws(JinjaError) -> JinjaStatement.Kind {
        var branches: [(condition: JinjaExpression, body: [JinjaStatement])] = []
        var word = "if"
        while word != "else" {
            let condition = try expressionOrTuple()
            try expect(.blockEnd)
            let part = try body(until: ["elif", "else", "endif"])
            branches.append((condition, part.statements))
            word = part.end
            if word == "endif" {
                try expect(.blockEnd)
                return .conditional(branches, otherwise: [])
            }
        }
        return .conditional(branches, otherwise: try body(untilEnd: "endif"))
    }

    private mutating func loop() throws(JinjaError) -> JinjaStatement.Kind {
        let target = try self.target(allowingAttribute: false)
        guard skip(.name("in")) else { throw unexpected(wanted: "\"in\"") }
        let items = try expressionWithoutCondition()
        let condition = skip(.name("if")) ? try expression() : nil
        if current == .name("recursive") { throw failure("recursive loops aren't supported") }
        try expect(.blockEnd)
        loopDepth += 1
        let part = try body(until: ["else", "endfor"])
        loopDepth -= 1
        var otherwise: [JinjaStatement] = []
        if part.end == "else" {
            otherwise = try body(untilEnd: "endfor")
        } else {
            try expect(.blockEnd)
        }
        return .loop(
            JinjaLoop(
                target: target, items: items, condition: condition, body: part.statements, otherwise: otherwise))
    }

    private mutating func assignment() throws(JinjaError) -> JinjaStatement.Kind {
        let target = try self.target(allowingAttribute: true)
        if skip(symbol: "=") {
            let value = try expressionOrTuple()
            try expect(.blockEnd)
            return .assignment(target, value)
        }
        let filters = skip(symbol: "|") ? try filterChain() : []
        return .capture(target, filters, try body(untilEnd: "endset"))
    }

    private mutating func target(allowingAttribute: Bool) throws(JinjaError) -> JinjaTarget {
        let isEnclosed = skip(symbol: "(")
        var names = [try expectName()]
        if allowingAttribute, !isEnclosed, skip(symbol: ".") { return .attribute(names[0], try expectName()) }
        var isTuple = false
        while skip(symbol: ",") {
            isTuple = true
            guard case .name(let name) = current, name != "in" else { break }
            names.append(name)
            advance()
        }
        if isEnclosed { try expect(symbol: ")") }
        return isTuple ? .names(names) : .name(names[0])
    }

    private mutating func parameters() throws(JinjaError) -> [(name: String, fallback: JinjaExpression?)] {
        try expect(symbol: "(")
        var parameters: [(name: String, fallback: JinjaExpression?)] = []
        while !skip(symbol: ")") {
            if !parameters.isEmpty { try expect(symbol: ",") }
            if skip(symbol: ")") { break }
            let name = try expectName()
            parameters.append((name, skip(symbol: "=") ? try expression() : nil))
        }
        return parameters
    }

    /// `name(arguments) | name …`
    private mutating func filterChain() throws(JinjaError) -> [JinjaFilter] {
        var filters: [JinjaFilter] = []
        repeat {
            let name = try expectName()
            let arguments = current == .symbol("(") ? try self.arguments() : JinjaArguments()
            filters.append(JinjaFilter(name: name, arguments: arguments))
        } while skip(symbol: "|")
        return filters
    }
}

/// An expression of a template.
indirect enum JinjaExpression: Sendable {
    case literal(TemplateValue)
    case list([JinjaExpression])
    case mapping([(key: JinjaExpression, value: JinjaExpression)])
    case name(String)
    case attribute(JinjaExpression, String)
    case item(JinjaExpression, JinjaExpression)
    case slice(JinjaExpression, start: JinjaExpression?, end: JinjaExpression?, step: JinjaExpression?)
    case call(JinjaExpression, JinjaArguments)
    case filter(JinjaExpression, String, JinjaArguments)
    case test(JinjaExpression, String, JinjaArguments)
    case not(JinjaExpression)
    case negative(JinjaExpression)
    case arithmetic(JinjaOperator, JinjaExpression, JinjaExpression)
    case and(JinjaExpression, JinjaExpression)
    case or(JinjaExpression, JinjaExpression)
    /// `a < b <= c`: true if all neighbours compare so.
    case comparison(JinjaExpression, [(JinjaComparison, JinjaExpression)])
    case condition(if: JinjaExpression, then: JinjaExpression, else: JinjaExpression?)
}

struct JinjaArguments: Sendable {
    var positional: [JinjaExpression] = []
    var named: [(name: String, value: JinjaExpression)] = []
}

enum JinjaOperator: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case modulo = "%"
    case power = "**"
    case concatenate = "~"
}

enum JinjaComparison: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case isIn = "in"
    case isNotIn = "not in"
}

/// A part of a template, with the line that it begins on.
struct JinjaStatement: Sendable {
    var line: Int
    var kind: Kind

    indirect enum Kind: Sendable {
        case text(MarkedText)
        case output(JinjaExpression)
        case conditional([(condition: JinjaExpression, body: [JinjaStatement])], otherwise: [JinjaStatement])
        case loop(JinjaLoop)
        case assignment(JinjaTarget, JinjaExpression)
        /// `{% set name %}…{% endset %}`, the captured text through filters.
        case capture(JinjaTarget, [JinjaFilter], [JinjaStatement])
        case filtered([JinjaFilter], [JinjaStatement])
        case macro(JinjaMacro)
        /// `{% call(parameters) macro(…) %}body{% endcall %}`: the body is the macro's `caller()`.
        case call(JinjaExpression, caller: JinjaMacro)
        /// Only for its effect.
        case expression(JinjaExpression)
        case `break`
        case `continue`
    }
}

struct JinjaFilter: Sendable {
    var name: String
    var arguments: JinjaArguments
}

struct JinjaLoop: Sendable {
    var target: JinjaTarget
    var items: JinjaExpression
    var condition: JinjaExpression?
    var body: [JinjaStatement]
    /// When there was nothing to go through.
    var otherwise: [JinjaStatement]
}

enum JinjaTarget: Sendable {
    case name(String)
    case names([String])
    /// `namespace.attribute`
    case attribute(String, String)
}

struct JinjaMacro: Sendable {
    var name: String
    var parameters: [(name: String, fallback: JinjaExpression?)]
    var body: [JinjaStatement]
}

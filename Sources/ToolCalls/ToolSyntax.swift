package import Constraints

/// How a family of models writes its calls: where a block of them begins and ends, and what stands in it.
package protocol ToolSyntax: Sendable {
    /// What a block begins with.
    var opening: String { get }
    /// What it ends with; empty if only the answer's end does.
    var closing: String { get }
    /// Whether what ends a block means nothing inside of a JSON string.
    var hasJSONStrings: Bool { get }
    /// Texts of the vocabulary's special tokens that the syntax is made of.
    var markers: [String] { get }
    /// Texts that mustn't be spelt within an argument, because it or the block would end there.
    var avoided: [String] { get }

    /// The calls in a block, and what isn't one as content.
    ///
    /// - Parameter body: between `opening` and `closing`.
    /// - Returns: nil if it holds no call that can be understood.
    func parts(of body: String, tools: [ToolDefinition]) -> [AnswerPart]?

    /// Blocks as `parts` reads them, from behind the first one's opening.
    ///
    /// - Parameter next: what comes behind the last one's closing.
    func calls(
        _ rules: CallRules, in builder: inout GrammarBuilder, then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID
}

extension ToolSyntax {
    package var markers: [String] { [opening, closing] }
    package var avoided: [String] { [] }

    /// Answers that are calls and nothing else.
    package func onlyCalls(
        _ rules: CallRules, in builder: inout GrammarBuilder
    ) throws(GrammarError) -> Grammar.StateID {
        let calls = try calls(rules, in: &builder, then: builder.end)
        return try builder.optionalSpace(then: builder.marker(opening, then: calls))
    }

    /// Answers that are any text, in which `opening` begins calls.
    package func textWithCalls(
        _ rules: CallRules, in builder: inout GrammarBuilder
    ) throws(GrammarError) -> Grammar.StateID {
        let calls = try calls(rules, in: &builder, then: builder.end)
        return try builder.anything(before: opening, completing: calls, leaving: builder.end)
    }
}

/// The syntaxes that are known.
package enum ToolSyntaxes {
    /// The syntax of a model's calls, told by what its chat template writes; nil if it writes none that is known.
    package static func syntax(ofTemplate source: String) -> (any ToolSyntax)? {
        if source.contains(DeepSeekSyntax().opening) { return DeepSeekSyntax() }
        if source.contains(KimiSyntax().opening) { return KimiSyntax() }
        if source.contains("<arg_key>") { return GLMSyntax() }
        if source.contains(MistralSyntax().opening) { return MistralSyntax() }
        if source.contains(HermesSyntax().opening) { return HermesSyntax() }
        return nil
    }
}

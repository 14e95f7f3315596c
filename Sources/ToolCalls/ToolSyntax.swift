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

    /// The calls in a block, and what isn't one as content.
    ///
    /// - Parameter body: between `opening` and `closing`.
    /// - Returns: nil if it holds no call that can be understood.
    func parts(of body: String, tools: [ToolDefinition]) -> [AnswerPart]?
}

extension ToolSyntax {
    package var markers: [String] { [opening, closing] }
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

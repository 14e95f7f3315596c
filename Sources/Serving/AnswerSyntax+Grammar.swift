import ChatTemplate
import Constraints
import ToolCalls

extension AnswerSyntax {
    /// The answers that a request allows, their reasoning included.
    ///
    /// - Parameter markers: the special tokens that stand in answers.
    func grammar(
        _ format: ResponseFormat, _ tools: RequestTools, startsInsideReasoning: Bool,
        markers: [String: Grammar.Symbol]
    ) throws(GrammarError) -> Grammar {
        var builder = GrammarBuilder(markers: markers, avoiding: avoided(format, tools))
        if isHarmony {
            let final =
                try tools.isRequired
                ? nil
                : format.isJSON ? content(format, &builder, then: builder.end) : HarmonyParser.text(in: &builder)
            let mayComment = !tools.isRequired && !format.isJSON
            builder.setRoot(
                try HarmonyParser.messages(final: final, tools.rules, mayComment: mayComment, in: &builder))
        } else {
            let body = try body(format, tools, &builder)
            builder.setRoot(try reasoning(startsInside: startsInsideReasoning, &builder, then: body))
        }
        return try Grammar(builder, path: format.isJSON && !tools.isRequired ? format.path : "tools")
    }

    /// What `AnswerReader` would take for a marker in the middle of JSON.
    private func avoided(_ format: ResponseFormat, _ tools: RequestTools) -> [String] {
        if isHarmony { return [HarmonyParser.markerStart] }
        guard let syntax = self.tools, tools.rules != nil else { return [] }
        return syntax.avoided + (format.isJSON && !tools.isRequired ? [syntax.opening] : [])
    }

    /// An answer without its reasoning.
    private func body(
        _ format: ResponseFormat, _ tools: RequestTools, _ builder: inout GrammarBuilder
    ) throws(GrammarError) -> Grammar.StateID {
        guard let syntax = self.tools, let rules = tools.rules else {
            return try builder.optionalSpace(then: content(format, &builder, then: builder.end))
        }
        if tools.isRequired { return try syntax.onlyCalls(rules, in: &builder) }
        guard format.isJSON else { return try syntax.textWithCalls(rules, in: &builder) }
        let content = try builder.optionalSpace(then: content(format, &builder, then: builder.end))
        return try builder.fork([syntax.onlyCalls(rules, in: &builder), content])
    }

    private func content(
        _ format: ResponseFormat, _ builder: inout GrammarBuilder, then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        switch format {
        case .text: next
        case .object: try builder.call(builder.anyObject(), then: next)
        case .schema(let schema):
            try builder.call(SchemaReader.values(of: schema, path: format.path, in: &builder), then: next)
        }
    }

    /// What `ReasoningSplitter` takes for reasoning, if the answer may have one.
    private func reasoning(
        startsInside: Bool, _ builder: inout GrammarBuilder, then next: Grammar.StateID
    ) throws(GrammarError) -> Grammar.StateID {
        guard startsInside || mayThink else { return next }
        let inside = try builder.anything(before: ChatTemplate.endThinkMarker, completing: next, leaving: nil)
        if startsInside { return inside }
        let opened = try builder.optionalSpace(then: builder.markerOrText(ChatTemplate.thinkMarker, then: inside))
        return try builder.fork([opened, next])
    }
}

extension ResponseFormat {
    /// Where it stands in the request.
    var path: String {
        if case .schema = self { "response_format.json_schema.schema" } else { "response_format" }
    }
}

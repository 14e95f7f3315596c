import ChatTemplate
import Tokenizer
import ToolCalls

/// How a model's answers tell reasoning, content and calls apart, and what its chat template can be asked for.
struct AnswerSyntax: Sendable {
    /// gpt-oss writes all of it as messages.
    let isHarmony: Bool
    /// nil if the model's calls have no syntax that is known.
    let tools: (any ToolSyntax)?
    let switches: TemplateSwitches

    /// - Parameter template: the chat template's source; nil if there is none.
    init(template: String?) {
        let source = template ?? ""
        isHarmony = HarmonyParser.isSyntax(ofTemplate: source)
        tools = isHarmony ? nil : ToolSyntaxes.syntax(ofTemplate: source)
        switches = TemplateSwitches(source)
    }

    /// Whether requests may bring tools: the template tells the model of them, and what it says then can be read.
    var takesTools: Bool { switches.takesTools && (isHarmony || tools != nil) }

    /// Whether an answer may open its reasoning by itself.
    var mayThink: Bool { switches.mentionsThinking }

    /// Whether earlier calls' arguments go into the template as JSON text, which DeepSeek's puts together with `+`, and not
    /// as a mapping.
    var spellsArguments: Bool { tools is DeepSeekSyntax }

    /// Tokens that end an answer beside the model's own: a call is the last thing before its result comes.
    func endTokens(_ tokenizer: Tokenizer) -> [Int32] {
        isHarmony ? HarmonyParser.lastMarkers.compactMap { tokenizer.id(of: $0) } : []
    }

    /// Special tokens that must be seen in an answer for it to be read, by their texts.
    func visibleTokens(_ tokenizer: Tokenizer, usesTools: Bool) -> [String: Int32] {
        var markers = mayThink ? [ChatTemplate.thinkMarker, ChatTemplate.endThinkMarker] : []
        if isHarmony { markers += HarmonyParser.markers }
        if usesTools, let tools { markers += tools.markers }
        var tokens: [String: Int32] = [:]
        for marker in markers {
            if let id = tokenizer.id(of: marker), tokenizer.isSpecial(id) { tokens[marker] = id }
        }
        return tokens
    }

    func reader(isReasoning: Bool, tools definitions: [ToolDefinition]) -> AnswerReader {
        if isHarmony { return AnswerReader(.messages(HarmonyParser())) }
        let calls = definitions.isEmpty ? nil : tools.map { CallParser($0, tools: definitions) }
        return AnswerReader(
            .text(
                ReasoningSplitter(insideReasoning: isReasoning, mayBegin: mayThink), calls))
    }
}

/// Takes an answer apart as it comes.
struct AnswerReader: Sendable {
    enum Form: Sendable {
        case text(ReasoningSplitter, CallParser?)
        case messages(HarmonyParser)
    }

    private var form: Form

    init(_ form: Form) { self.form = form }

    mutating func append(_ text: String) -> [AnswerPart] {
        switch form {
        case .messages(var parser):
            defer { form = .messages(parser) }
            return parser.append(text)
        case .text(var splitter, var calls):
            defer { form = .text(splitter, calls) }
            return Self.parts(splitter.append(text), &calls)
        }
    }

    /// - Parameter isWhole: the model came to its own end.
    mutating func finish(isWhole: Bool) -> [AnswerPart] {
        switch form {
        case .messages(var parser):
            defer { form = .messages(parser) }
            return parser.finish(isWhole: isWhole)
        case .text(var splitter, var calls):
            defer { form = .text(splitter, calls) }
            let rest = Self.parts(splitter.finish(), &calls)
            return rest + (calls?.finish(isWhole: isWhole) ?? [])
        }
    }

    private static func parts(_ segments: [ReasoningSplitter.Segment], _ calls: inout CallParser?) -> [AnswerPart] {
        var parts: [AnswerPart] = []
        for segment in segments {
            switch segment {
            case .reasoning(let text): parts.append(.reasoning(text))
            case .content(let text): parts += calls?.append(text) ?? [.content(text)]
            }
        }
        return parts
    }
}

import API
import ChatTemplate
import JSON
import Tokenizer
import ToolCalls

extension ServedModel {
    /// A prompt in tokens.
    struct Prompt {
        var tokens: [Int32]
        /// Whether the answer begins with reasoning, which ends at `</think>`.
        var startsInsideReasoning: Bool
        /// Whether the answer goes on in the middle of a text.
        var continuesText = false
        /// The functions that the answer may call.
        var tools = RequestTools()
    }

    /// Renders a conversation. What people wrote never becomes a marker.
    ///
    /// - Parameter body: the request's own JSON.
    func prompt(of request: ChatCompletionRequest, _ body: JSONValue) throws(APIError) -> Prompt {
        if isEncoderDecoder {
            throw .unsupported(
                "messages",
                "messages: this model makes one text of another and holds no conversations; send the text as the 'prompt' "
                    + "of /v1/completions")
        }
        let messages = try messages(of: request)
        let tools = try tools(of: request, body)
        var options = ChatTemplate.Options()
        options.tools = tools.values
        try setThinking(of: request, in: &options)
        do {
            let rendered = try template.get().render(messages, options)
            var continuesText = false
            let tokens = try rendered.tokens { piece in
                defer { continuesText = true }
                switch piece {
                case .control(let marker): return try tokenizer.encode(marker, special: .parsed, addBegin: false)
                case .text(let text):
                    return try tokenizer.encode(
                        text, special: .literal, addBegin: false, continuesText: continuesText)
                }
            }
            return Prompt(
                tokens: tokens, startsInsideReasoning: rendered.startsInsideReasoning,
                continuesText: messages.last?.isPrefix ?? false, tools: tools)
        } catch {
            throw .invalid("messages", "messages: \(error)")
        }
    }

    private func messages(of request: ChatCompletionRequest) throws(APIError) -> [ChatMessage] {
        var messages: [ChatMessage] = []
        for (place, wire) in request.messages.enumerated() {
            if wire.role == .tool, !syntax.takesTools {
                let path = "messages[\(place)].role"
                throw .unsupported(path, "\(path): this model's chat template doesn't tell it of tools")
            }
            var message = ChatMessage(
                role: wire.role.template, content: wire.content?.text ?? "", reasoning: wire.reasoningContent,
                isPrefix: wire.prefix ?? false)
            message.hasContent = wire.content != nil
            message.namesThinking = syntax.isHarmony
            message.toolCalls = try calls(of: wire, at: place)
            message.toolCallID = wire.toolCallID
            if wire.role == .tool { message.name = wire.name }
            messages.append(message)
        }
        return messages
    }

    /// Whoever writes a plain prompt writes the model's own markers too.
    func prompt(of request: CompletionRequest) throws(APIError) -> Prompt {
        do {
            var tokens = try tokenizer.encode(request.prompt, special: .parsed, addBegin: true)
            if let inputEndToken, tokens.last != inputEndToken { tokens.append(inputEndToken) }
            return Prompt(tokens: tokens, startsInsideReasoning: false, continuesText: !isEncoderDecoder)
        } catch {
            throw .invalid("prompt", "prompt: \(error)")
        }
    }

    /// The template, which alone may write the vocabulary's added tokens.
    static func template(
        _ source: String?, tokenizerConfigJSON: [UInt8]?, tokenizer: Tokenizer
    ) -> Result<ChatTemplate, ChatTemplateError> {
        Result { () throws(ChatTemplateError) in
            try ChatTemplate(source, tokenizerConfigJSON: tokenizerConfigJSON, markers: tokenizer.addedTokenTexts)
        }
    }
}

extension ChatCompletionRequest.Role {
    fileprivate var template: ChatMessage.Role {
        switch self {
        case .system, .developer: .system
        case .user: .user
        case .assistant: .assistant
        case .tool: .tool
        }
    }
}

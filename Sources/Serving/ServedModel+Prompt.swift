import API
import ChatTemplate
import Tokenizer

extension ServedModel {
    /// A prompt in tokens.
    struct Prompt {
        var tokens: [Int32]
        /// Whether the answer begins with reasoning, which ends at `</think>`.
        var startsInsideReasoning: Bool
    }

    /// Renders a conversation. What people wrote never becomes a marker.
    func prompt(of request: ChatCompletionRequest) throws(APIError) -> Prompt {
        let messages = request.messages.map { message in
            ChatMessage(
                role: message.role.template, content: message.content.text, reasoning: message.reasoningContent,
                isPrefix: message.prefix ?? false)
        }
        do {
            var options = ChatTemplate.Options()
            options.thinking = request.thinking.map { $0.type == .enabled }
            let rendered = try template.get().render(messages, options)
            let tokens = try rendered.tokens { piece in
                switch piece {
                case .control(let marker): try tokenizer.encode(marker, special: .parsed, addBegin: false)
                case .text(let text): try tokenizer.encode(text, special: .literal, addBegin: false)
                }
            }
            return Prompt(tokens: tokens, startsInsideReasoning: rendered.startsInsideReasoning)
        } catch {
            throw .invalid("messages", "messages: \(error)")
        }
    }

    /// Whoever writes a plain prompt writes the model's own markers too.
    func prompt(of request: CompletionRequest) throws(APIError) -> Prompt {
        do {
            let tokens = try tokenizer.encode(request.prompt, special: .parsed, addBegin: true)
            return Prompt(tokens: tokens, startsInsideReasoning: false)
        } catch {
            throw .invalid("prompt", "prompt: \(error)")
        }
    }

    /// The template, which alone may write the vocabulary's added tokens.
    static func template(
        _ source: String?, tokenizerConfigJSON: [UInt8]?, tokenizer: BytePairTokenizer
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
        }
    }
}

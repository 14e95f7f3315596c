import JSON

/// Renders conversations as a model's chat template says, byte for byte.
///
/// A checkpoint's template is a Jinja program from a file that a stranger made. It is run by an interpreter that has no
/// way out and limits on everything (``JinjaInterpreter``), in the environment that Hugging Face's libraries give it.
package struct ChatTemplate: Sendable {
    package static let thinkMarker = "<think>"
    package static let endThinkMarker = "</think>"

    private let program: [JinjaStatement]
    /// `bos_token` and the like.
    private let tokenNames: TemplateMapping
    private let markers: MarkerSet

    /// - Parameters:
    ///   - source: the template; nil if the model has none.
    ///   - tokenizerConfigJSON: `tokenizer_config.json`, which names the begin and end tokens.
    ///   - markers: the vocabulary's special tokens, which only the template may write.
    /// - Throws: `.missing` or `.unsupported`, whose message is fit for a client: conversations can't be had with this
    ///   model, while plain completions can.
    package init(
        _ source: String?, tokenizerConfigJSON: [UInt8]?, markers: some Sequence<String>
    ) throws(ChatTemplateError) {
        guard let source else {
            throw ChatTemplateError(
                .missing, "this model has no chat template, so it can't hold a conversation; use /v1/completions")
        }
        guard source.utf8.count <= Self.sourceByteLimit else {
            throw ChatTemplateError(
                .unsupported,
                "this model's chat template is longer than \(Self.sourceByteLimit) bytes; use /v1/completions"
            )
        }
        do {
            program = try JinjaParser.parse(source)
        } catch {
            throw ChatTemplateError(
                .unsupported, "this model's chat template can't be run (\(error.described)); use /v1/completions")
        }
        tokenNames = try TemplateMapping(tokensOf: tokenizerConfigJSON)
        self.markers = MarkerSet(markers)
    }

    /// Published templates have up to 20 kB.
    private static let sourceByteLimit = 1 << 20

    /// What a rendering depends on besides the messages.
    package struct Options: Sendable {
        /// `thinking` and `enable_thinking`; nil leaves it to the template.
        package var thinking: Bool?
        /// `reasoning_effort`: low, medium or high; nil leaves it to the template.
        package var reasoningEffort: String?
        /// The functions that the model may call, each as in OpenAI's `tools`.
        package var tools: [TemplateValue] = []
        package var addGenerationPrompt = true

        package init() {}
    }

    /// Renders a conversation.
    ///
    /// An assistant message with `isPrefix`, which must be the last, is continued: its text follows the generation prompt
    /// as it is. If that opens a reasoning, the content is the beginning of it; if the message has `reasoning` of its own,
    /// that is, and the content, if there is any, follows `</think>`.
    package func render(
        _ messages: [ChatMessage], _ options: Options = Options()
    ) throws(ChatTemplateError) -> ChatPrompt {
        if let place = messages.dropLast().firstIndex(where: \.isPrefix) {
            throw ChatTemplateError(
                .invalidMessages, "messages[\(place)] has prefix, which only the last message may have")
        }
        let prefix = messages.last.flatMap { $0.isPrefix ? $0 : nil }
        if let prefix, prefix.role != .assistant {
            throw ChatTemplateError(
                .invalidMessages, "the last message has prefix, which only an assistant message may have")
        }
        let history = prefix == nil ? messages[...] : messages.dropLast()
        do {
            let text = try JinjaInterpreter.render(
                program, values(history, options, isContinued: prefix != nil), formatTime: PresentTime.formatted)
            return ChatPrompt(text, markers, continuing: prefix)
        } catch {
            throw ChatTemplateError(error)
        }
    }

    private func values(
        _ messages: ArraySlice<ChatMessage>, _ options: Options, isContinued: Bool
    ) -> TemplateMapping {
        var values = tokenNames
        values["messages"] = .list(messages.map { .mapping($0.templateValue) })
        values["tools"] = options.tools.isEmpty ? TemplateValue.none : .list(options.tools)
        values["documents"] = TemplateValue.none
        values["add_generation_prompt"] = .boolean(options.addGenerationPrompt || isContinued)
        if let thinking = options.thinking {
            values["thinking"] = .boolean(thinking)
            values["enable_thinking"] = .boolean(thinking)
        }
        if let effort = options.reasoningEffort { values["reasoning_effort"] = .own(effort) }
        return values
    }
}

extension ChatTemplateError {
    fileprivate init(_ error: JinjaError) {
        switch error.code {
        case .raised: self.init(.invalidMessages, "this model's chat template refuses the messages: \(error.message)")
        case .limit, .runtime, .syntax:
            self.init(.invalidMessages, "this model's chat template can't render the messages (\(error.described))")
        }
    }
}

extension JinjaError {
    fileprivate var described: String { line.map { "line \($0): \(message)" } ?? message }
}

extension TemplateMapping {
    private static let tokenNames = ["bos_token", "eos_token", "pad_token", "unk_token"]

    /// The tokens that `tokenizer_config.json` names for a template's use: each a text, or an object that also carries
    /// the token's flags.
    fileprivate init(tokensOf json: [UInt8]?) throws(ChatTemplateError) {
        self.init()
        guard let json else { return }
        let config: JSONValue
        do {
            config = try JSONValue(parsing: json, limits: JSONLimits(byteCount: 16 << 20, valueCount: 1 << 20))
        } catch {
            throw ChatTemplateError(.malformed, "tokenizer_config.json: \(error)")
        }
        for name in Self.tokenNames {
            guard let token = config[name], token != .null else { continue }
            guard let text = token.string ?? token["content"]?.string else {
                throw ChatTemplateError(.malformed, "tokenizer_config.json: \(name) must be a text, not \(token.kind)")
            }
            self[name] = .own(text)
        }
    }
}

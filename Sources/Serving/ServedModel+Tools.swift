import API
import ChatTemplate
import JSON
import ToolCalls

/// The functions that a request brings.
struct RequestTools {
    var definitions: [ToolDefinition] = []
    /// As the template gets them.
    var values: [TemplateValue] = []
    /// The calls that the answer may make; nil if it makes none.
    var rules: CallRules?
    var choice = ToolChoice.Mode.none

    /// Whether nothing but calls will do.
    var isRequired: Bool {
        switch choice {
        case .none, .auto: false
        case .required, .named: true
        }
    }

    /// Whether calls are more than what the model makes of its own accord.
    var isConstrained: Bool {
        guard let rules else { return false }
        return isRequired || rules.isSingle || rules.functions.contains(where: \.isStrict)
    }
}

extension ServedModel {
    /// Reads a request's tools out of its JSON, whose order the template keeps. None with `tool_choice: none`.
    func tools(of request: ChatCompletionRequest, _ body: JSONValue) throws(APIError) -> RequestTools {
        let list = body["tools"]?.array ?? []
        var tools = RequestTools()
        let choice: ToolChoice
        do {
            choice = try ToolChoice(body["tool_choice"])
        } catch {
            throw .invalid(error.path, "\(error.path ?? ""): \(error.message)")
        }
        guard !list.isEmpty else {
            guard choice.mode == .none || choice.mode == .auto else {
                throw .invalid("tool_choice", "tool_choice: there are no 'tools' to choose from")
            }
            return tools
        }
        guard syntax.takesTools else {
            throw .unsupported("tools", "tools: this model's chat template doesn't tell it of tools")
        }
        guard choice.mode != .none else { return tools }
        var rules = CallRules(functions: [], isSingle: request.parallelToolCalls == false)
        for (index, tool) in list.enumerated() {
            let function = tool["function"]
            let name = function?["name"]?.string ?? ""
            if let allowed = choice.allowed, !allowed.contains(name) { continue }
            let parameters = function?["parameters"].flatMap { $0 == .null ? nil : $0 }
            tools.definitions.append(ToolDefinition(name: name, parameters: parameters))
            tools.values.append(TemplateValue(foreign: tool))
            rules.functions.append(
                CallRules.Function(
                    name: name, parameters: parameters, isStrict: function?["strict"]?.bool ?? false,
                    path: "tools[\(index)].function.parameters"))
        }
        if case .named(let name) = choice.mode {
            rules.functions.removeAll { $0.name != name }
            rules.isSingle = true
        }
        guard !rules.functions.isEmpty else {
            throw .invalid("tool_choice", "tool_choice: no function of that name is among the 'tools'")
        }
        (tools.rules, tools.choice) = (rules, choice.mode)
        return tools
    }

    /// The calls of an assistant's message in history, as the template wants them.
    func calls(
        of message: ChatCompletionRequest.Message, at place: Int
    ) throws(APIError) -> [ChatMessage.ToolCall] {
        var calls: [ChatMessage.ToolCall] = []
        for (index, call) in (message.toolCalls ?? []).enumerated() {
            let path = "messages[\(place)].tool_calls[\(index)].function.arguments"
            let spelt = call.function.arguments
            let text = spelt.allSatisfy(\.isWhitespace) ? "{}" : spelt
            guard let value = try? JSONValue(parsing: Array(text.utf8), limits: JSONLimits(byteCount: 8 << 20)),
                case .object = value
            else { throw .invalid(path, "\(path): expected a JSON object as text") }
            calls.append(
                ChatMessage.ToolCall(
                    id: call.id, name: call.function.name,
                    arguments: syntax.spellsArguments ? .foreign(text) : TemplateValue(foreign: value)))
        }
        return calls
    }

    /// What `thinking` and `reasoning_effort` come to in the template's own switches.
    func setThinking(of request: ChatCompletionRequest, in options: inout ChatTemplate.Options) throws(APIError) {
        options.thinking = request.thinking.map { $0.type == .enabled }
        guard let effort = request.reasoningEffort else { return }
        let thinks = effort != "none"
        if let thinking = options.thinking, thinking != thinks {
            throw .invalid("reasoning_effort", "reasoning_effort: '\(effort)' contradicts 'thinking'")
        }
        if syntax.switches.takesEffort, thinks {
            options.reasoningEffort = effort
            // What has both is also told to think.
            if syntax.switches.takesThinking { options.thinking = true }
        } else if syntax.switches.takesThinking {
            options.thinking = thinks
        } else {
            throw .unsupported(
                "reasoning_effort", "reasoning_effort: this model's chat template has no switch for '\(effort)'")
        }
    }
}

import API
import ChatTemplate
import JSON
import ToolCalls

/// The functions that a request brings.
struct RequestTools {
    var definitions: [ToolDefinition] = []
    /// As the template gets them.
    var values: [TemplateValue] = []
}

extension ServedModel {
    /// Reads a request's tools out of its JSON, whose order the template keeps. None with `tool_choice: none`.
    func tools(of request: ChatCompletionRequest, _ body: JSONValue) throws(APIError) -> RequestTools {
        let list = body["tools"]?.array ?? []
        guard !list.isEmpty else { return RequestTools() }
        guard syntax.takesTools else {
            throw .unsupported("tools", "tools: this model's chat template doesn't tell it of tools")
        }
        if request.parallelToolCalls == false {
            throw .unsupported(
                "parallel_tool_calls",
                "parallel_tool_calls: false isn't supported: the model decides how many calls it makes")
        }
        guard request.toolChoice != "none" else { return RequestTools() }
        var tools = RequestTools()
        for tool in list {
            let function = tool["function"]
            tools.definitions.append(
                ToolDefinition(name: function?["name"]?.string ?? "", parameters: function?["parameters"]))
            tools.values.append(TemplateValue(foreign: tool))
        }
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

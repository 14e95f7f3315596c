/// Kimi-K2's calls: a section of calls, each with an identifier that holds its name, and its arguments.
///
///     <|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Rome"}
///     <|tool_call_end|><|tool_calls_section_end|>
package struct KimiSyntax: ToolSyntax {
    package let opening = "<|tool_calls_section_begin|>"
    package let closing = "<|tool_calls_section_end|>"
    package let hasJSONStrings = true
    package var markers: [String] { [opening, closing, callBegin, argumentBegin, callEnd] }

    let callBegin = "<|tool_call_begin|>"
    let argumentBegin = "<|tool_call_argument_begin|>"
    let callEnd = "<|tool_call_end|>"

    package init() {}

    package func parts(of body: String, tools: [ToolDefinition]) -> [AnswerPart]? {
        CallSection(callBegin: callBegin, callEnd: callEnd).parts(of: body) { call($0) }
    }

    private func call(_ text: String) -> ToolCall? {
        var scanner = MarkerScanner(text)
        guard let id = scanner.text(before: argumentBegin).map({ CallReading.trimmed($0) }),
            let arguments = CallReading.object(scanner.rest())
        else { return nil }
        // `functions.get_weather:0`: the name may have points of its own.
        let prefix = "functions."
        let numbered = id.hasPrefix(prefix) ? id.dropFirst(prefix.count) : id[...]
        let name = numbered.lastIndex(of: ":").map { numbered[..<$0] } ?? numbered
        return name.isEmpty ? nil : ToolCall(id: id, name: String(name), arguments: arguments)
    }
}

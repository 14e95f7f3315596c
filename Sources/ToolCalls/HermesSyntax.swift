/// Qwen's calls, after NousResearch's Hermes: each is JSON between tags.
///
///     <tool_call>
///     {"name": "get_weather", "arguments": {"city": "Rome"}}
///     </tool_call>
package struct HermesSyntax: ToolSyntax {
    package let opening = "<tool_call>"
    package let closing = "</tool_call>"
    package let hasJSONStrings = true

    package init() {}

    package func parts(of body: String, tools: [ToolDefinition]) -> [AnswerPart]? {
        CallReading.call(body).map { [.call($0)] }
    }
}

import JSON
import Testing
import ToolCalls

/// Answers in the words of each family, and what they mean.
struct SyntaxVector: Sendable, CustomTestStringConvertible {
    var syntax: any ToolSyntax
    var answer: String
    var content = ""
    var calls: [ToolCall] = []

    var testDescription: String { "\(type(of: syntax)): \(answer.prefix(60))" }

    static let rome = #"{"city": "Rome"}"#
    static let tools = [
        ToolDefinition(
            name: "get_weather",
            parameters: try? JSONValue(
                parsing: Array(
                    #"{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}}}"#.utf8),
                limits: JSONLimits(byteCount: 1 << 10)))
    ]

    private static func weather(_ arguments: String = rome, id: String? = nil) -> ToolCall {
        ToolCall(id: id, name: "get_weather", arguments: arguments)
    }

    // MARK: Calls

    static let good: [SyntaxVector] = hermes + glm + deepSeek + kimi + mistral

    private static let hermes = [
        SyntaxVector(
            syntax: HermesSyntax(),
            answer: "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>",
            calls: [weather()]),
        SyntaxVector(
            syntax: HermesSyntax(),
            answer: "Let me see.\n\n<tool_call>\n{\"arguments\": {}, \"name\": \"now\"}\n</tool_call>\n"
                + "<tool_call>{\"name\":\"get_weather\",\"arguments\":{\"city\": \"Rome\"}}</tool_call>\n",
            content: "Let me see.", calls: [ToolCall(name: "now", arguments: "{}"), weather()]),
        // A closing tag in a string closes nothing, and an escaped quote ends no string.
        SyntaxVector(
            syntax: HermesSyntax(),
            answer: #"<tool_call>{"name": "say", "arguments": {"text": "a \" </tool_call> \\"}}</tool_call> Done."#,
            content: " Done.", calls: [ToolCall(name: "say", arguments: #"{"text": "a \" </tool_call> \\"}"#)]),
        // Arguments that are spelt twice, or left out.
        SyntaxVector(
            syntax: HermesSyntax(),
            answer: #"<tool_call>{"name": "get_weather", "arguments": "{\"city\": \"Rome\"}"}</tool_call>"#
                + #"<tool_call>{"name": "now"}</tool_call>"#,
            calls: [weather(), ToolCall(name: "now", arguments: "{}")]),
        // The last tag is missing, but the model came to its end.
        SyntaxVector(
            syntax: HermesSyntax(), answer: "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": \(rome)}",
            calls: [weather()]),
    ]

    private static let glm = [
        SyntaxVector(
            syntax: GLMSyntax(),
            answer: "\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n"
                + "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
            calls: [weather(#"{"city": "Rome", "days": 3}"#)]),
        // What the schema says is text stays text.
        SyntaxVector(
            syntax: GLMSyntax(),
            answer: "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>12</arg_value>\n</tool_call>",
            calls: [weather(#"{"city": "12"}"#)]),
        SyntaxVector(
            syntax: GLMSyntax(),
            answer: "<tool_call>other\n<arg_key>list</arg_key>\n<arg_value>[1, \"a\"]</arg_value>\n"
                + "<arg_key>text</arg_key>\n<arg_value>one \"two\"\n\u{1}</arg_value>\n</tool_call>",
            calls: [ToolCall(name: "other", arguments: #"{"list": [1, "a"], "text": "one \"two\"\n\u0001"}"#)]),
        SyntaxVector(
            syntax: GLMSyntax(), answer: "<tool_call>now\n</tool_call>",
            calls: [ToolCall(name: "now", arguments: "{}")]),
    ]

    private static let deepSeek = [
        // V3.1
        SyntaxVector(
            syntax: DeepSeekSyntax(),
            answer: "One moment.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>\(rome)<｜tool▁call▁end｜>"
                + "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            content: "One moment.", calls: [weather(), ToolCall(name: "now", arguments: "{}")]),
        // V3 and R1
        SyntaxVector(
            syntax: DeepSeekSyntax(),
            answer: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n\(rome)\n```"
                + "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜>"
                + "<｜tool▁calls▁end｜>",
            calls: [weather(), ToolCall(name: "now", arguments: "{}")]),
        // A function of that name.
        SyntaxVector(
            syntax: DeepSeekSyntax(),
            answer: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>{\"a\": \"<｜tool▁call▁end｜>\"}"
                + "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            calls: [ToolCall(name: "function", arguments: #"{"a": "<｜tool▁call▁end｜>"}"#)]),
        // A broken call among good ones comes back as content.
        SyntaxVector(
            syntax: DeepSeekSyntax(),
            answer: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{city}<｜tool▁call▁end｜>"
                + "<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>\(rome)<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            content: "<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{city}<｜tool▁call▁end｜>", calls: [weather()]),
        SyntaxVector(
            syntax: DeepSeekSyntax(),
            answer: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>\(rome)<｜tool▁call▁end｜>",
            calls: [weather()]),
    ]

    private static let kimi = [
        SyntaxVector(
            syntax: KimiSyntax(),
            answer: "Hm. <|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
                + "<|tool_call_argument_begin|>\(rome)<|tool_call_end|><|tool_call_begin|>functions.a.b:1"
                + "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
            content: "Hm.",
            calls: [
                weather(id: "functions.get_weather:0"), ToolCall(id: "functions.a.b:1", name: "a.b", arguments: "{}"),
            ])
    ]

    private static let mistral = [
        SyntaxVector(
            syntax: MistralSyntax(),
            answer: "[TOOL_CALLS] [{\"name\": \"get_weather\", \"arguments\": \(rome), \"id\": \"a1B2c3D4e\"}, "
                + "{\"name\": \"now\", \"arguments\": {}}]",
            calls: [weather(id: "a1B2c3D4e"), ToolCall(name: "now", arguments: "{}")])
    ]

    // MARK: What only looks like calls

    static let bad: [SyntaxVector] = [
        (HermesSyntax(), "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\"}}\n</tool_call>\nSo. "),
        (HermesSyntax(), "<tool_call>get_weather</tool_call>"), (HermesSyntax(), "a <tool_cal"),
        (HermesSyntax(), "<tool_call>{\"name\": \"\", \"arguments\": {}}</tool_call>"),
        (HermesSyntax(), "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>"),
        (HermesSyntax(), "<tool_call>{\"name\": \"f\", \"arguments\": {}} x</tool_call>  "),
        (HermesSyntax(), " \n<<tool_call>{\"name"), (HermesSyntax(), "</tool_call> <tool_call></tool_call>"),
        (HermesSyntax(), "<tool_call>\"</tool_call> and more"), (HermesSyntax(), "  no calls at all \n "),
        (GLMSyntax(), "<tool_call>get weather\n</tool_call>"),
        (GLMSyntax(), "<tool_call>f\n<arg_key>a</arg_key>\n</tool_call>"),
        (GLMSyntax(), "<tool_call>f\n<arg_key>a</arg_key><arg_value>1</arg_value>x</tool_call>"),
        (
            GLMSyntax(),
            "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value><arg_key>a</arg_key><arg_value>2</arg_value></tool_call>"
        ),
        (DeepSeekSyntax(), "<｜tool▁calls▁begin｜>nothing<｜tool▁calls▁end｜>"),
        (DeepSeekSyntax(), "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
        (
            DeepSeekSyntax(),
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        ),
        (KimiSyntax(), "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_end|>"),
        (MistralSyntax(), "[TOOL_CALLS] {\"name\": \"f\"}"), (MistralSyntax(), "[TOOL_CALLS] []"),
        (MistralSyntax(), "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": 1}]"), (MistralSyntax(), "[TOOL_CALL"),
    ].map { SyntaxVector(syntax: $0, answer: $1, content: $1) }
}

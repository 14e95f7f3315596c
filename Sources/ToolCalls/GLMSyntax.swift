import JSON

/// GLM-4.5's calls: tags for the names and values of the arguments. A value stands as it is if it's a string, and as JSON
/// otherwise, which only the function's schema can tell.
///
///     <tool_call>get_weather
///     <arg_key>city</arg_key>
///     <arg_value>Rome</arg_value>
///     </tool_call>
package struct GLMSyntax: ToolSyntax {
    package let opening = "<tool_call>"
    package let closing = "</tool_call>"
    package let hasJSONStrings = false
    package var markers: [String] { [opening, closing] + tags }

    let tags = ["<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"]

    package init() {}

    package func parts(of body: String, tools: [ToolDefinition]) -> [AnswerPart]? {
        var scanner = MarkerScanner(body)
        guard let head = scanner.text(before: tags[0]) else {
            let name = CallReading.trimmed(body)
            return isName(name) ? [.call(ToolCall(name: name, arguments: "{}"))] : nil
        }
        let name = CallReading.trimmed(head)
        guard isName(name) else { return nil }
        let tool = tools.first { $0.name == name }
        var members: [String] = []
        var names: Set<String> = []
        while true {
            guard let key = scanner.text(before: tags[1]).map({ CallReading.trimmed($0) }), names.insert(key).inserted,
                let between = scanner.text(before: tags[2]), CallReading.trimmed(between).isEmpty,
                let value = scanner.text(before: tags[3])
            else { return nil }
            members.append("\(CallReading.quoted(key)): \(argument(value, type: tool?.type(of: key)))")
            guard let next = scanner.text(before: tags[0]) else { break }
            guard CallReading.trimmed(next).isEmpty else { return nil }
        }
        guard CallReading.trimmed(scanner.rest()).isEmpty else { return nil }
        return [.call(ToolCall(name: name, arguments: "{\(members.joined(separator: ", "))}"))]
    }

    private func isName(_ text: String) -> Bool {
        !text.isEmpty && !text.contains("<") && !text.contains { $0.isWhitespace }
    }

    private func argument(_ text: String, type: String?) -> String {
        if type == "string" { return CallReading.quoted(text) }
        let value = CallReading.trimmed(text)
        return CallReading.value(value) == nil ? CallReading.quoted(text) : value
    }
}

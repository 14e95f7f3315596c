/// DeepSeek's calls: a section of calls, each with its name before and its arguments after a separator. V3 and R1 write
/// the kind before it, and behind it the name and the arguments in a fence.
///
///     <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Rome"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>
///
///     <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather
///     ```json
///     {"city": "Rome"}
///     ```<｜tool▁call▁end｜><｜tool▁calls▁end｜>
package struct DeepSeekSyntax: ToolSyntax {
    package let opening = "<｜tool▁calls▁begin｜>"
    package let closing = "<｜tool▁calls▁end｜>"
    package let hasJSONStrings = true
    package var markers: [String] { [opening, closing, callBegin, separator, callEnd] }

    let callBegin = "<｜tool▁call▁begin｜>"
    let separator = "<｜tool▁sep｜>"
    let callEnd = "<｜tool▁call▁end｜>"
    let fence = "```"

    package init() {}

    package func parts(of body: String, tools: [ToolDefinition]) -> [AnswerPart]? {
        CallSection(callBegin: callBegin, callEnd: callEnd).parts(of: body) { call($0) }
    }

    private func call(_ text: String) -> ToolCall? {
        var scanner = MarkerScanner(text)
        guard let head = scanner.text(before: separator).map({ CallReading.trimmed($0) }), !head.isEmpty else {
            return nil
        }
        let tail = CallReading.trimmed(scanner.rest())
        if tail.first == "{" { return CallReading.object(tail).map { ToolCall(name: head, arguments: $0) } }
        guard head == "function", let line = tail.firstIndex(of: "\n") else { return nil }
        let name = CallReading.trimmed(tail[..<line])
        var fenced = CallReading.trimmed(tail[line...])
        guard fenced.hasPrefix(fence), fenced.hasSuffix(fence), fenced.utf8.count >= 2 * fence.utf8.count else {
            return nil
        }
        fenced = String(fenced.dropFirst(fence.count).dropLast(fence.count))
        if fenced.hasPrefix("json") { fenced = String(fenced.dropFirst(4)) }
        guard !name.isEmpty, let arguments = CallReading.object(fenced) else { return nil }
        return ToolCall(name: name, arguments: arguments)
    }
}

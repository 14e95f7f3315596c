import JSON

/// Mistral's and Mixtral's calls: a JSON array after a marker, to the answer's end.
///
///     [TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Rome"}, "id": "123456789"}]
package struct MistralSyntax: ToolSyntax {
    package let opening = "[TOOL_CALLS]"
    package let closing = ""
    package let hasJSONStrings = true
    package var markers: [String] { [opening] }

    package init() {}

    package func parts(of body: String, tools: [ToolDefinition]) -> [AnswerPart]? {
        let text = CallReading.trimmed(body)
        guard text.first == "[", text.last == "]", let calls = elements(of: text), !calls.isEmpty else { return nil }
        var parts: [AnswerPart] = []
        for call in calls {
            guard let call = CallReading.call(call) else { return nil }
            parts.append(.call(call))
        }
        return parts
    }

    /// The texts of a JSON array's elements; nil if it isn't one.
    private func elements(of text: String) -> [String]? {
        let bytes = Array(text.utf8)
        guard var cursor = try? JSONCursor(bytes, limits: JSONLimits(byteCount: 8 << 20)) else { return nil }
        var elements: [String] = []
        do {
            try cursor.array { (cursor) throws(JSONError) in
                let start = cursor.position
                _ = try cursor.value()
                elements.append(String(decoding: bytes[start..<cursor.position], as: UTF8.self))
            }
            try cursor.end()
        } catch {
            return nil
        }
        return elements
    }
}

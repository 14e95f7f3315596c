/// A block of several calls, each between markers of its own.
struct CallSection {
    let callBegin: String
    let callEnd: String

    /// The calls, and what isn't one as content; nil if there is no call at all. The last one may lack its end.
    func parts(of body: String, _ call: (String) -> ToolCall?) -> [AnswerPart]? {
        var scanner = MarkerScanner(body)
        var parts: [AnswerPart] = []
        var hasCalls = false
        func add(_ content: String) {
            if !CallReading.trimmed(content).isEmpty { parts.append(.content(content)) }
        }
        while let between = scanner.text(before: callBegin) {
            add(between)
            let closed = scanner.text(before: callEnd, hasJSONStrings: true)
            let text = closed ?? scanner.rest()
            if let call = call(text) {
                parts.append(.call(call))
                hasCalls = true
            } else {
                add(callBegin + text + (closed == nil ? "" : callEnd))
            }
        }
        add(scanner.rest())
        return hasCalls ? parts : nil
    }
}

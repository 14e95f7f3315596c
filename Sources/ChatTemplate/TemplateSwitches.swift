/// What a chat template can be asked for, told by its source: the names that it looks at.
package struct TemplateSwitches: Sendable, Equatable {
    /// The functions that the model may call.
    package var takesTools: Bool
    /// Whether the model thinks: `thinking` or `enable_thinking`.
    package var takesThinking: Bool
    /// How long it thinks: `reasoning_effort`.
    package var takesEffort: Bool
    /// Whether the model may open its reasoning by itself.
    package var mentionsThinking: Bool

    package init(_ source: String) {
        let names = Self.freeNames(source)
        takesTools = names.contains("tools")
        takesThinking = names.contains("thinking") || names.contains("enable_thinking")
        takesEffort = names.contains("reasoning_effort")
        mentionsThinking = source.contains(ChatTemplate.thinkMarker)
    }

    /// Names in the template's code that aren't members of something, nor within its texts.
    private static func freeNames(_ source: String) -> Set<String> {
        var names: Set<String> = []
        let bytes = Array(source.utf8)
        var place = 0
        var code: UInt8?
        func isName(_ byte: UInt8) -> Bool {
            byte == UInt8(ascii: "_") || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
        while place < bytes.count {
            let byte = bytes[place]
            let next = place + 1 < bytes.count ? bytes[place + 1] : 0
            guard let closer = code else {
                if byte == UInt8(ascii: "{"), [UInt8(ascii: "{"), UInt8(ascii: "%"), UInt8(ascii: "#")].contains(next) {
                    code = next == UInt8(ascii: "{") ? UInt8(ascii: "}") : next
                    place += 1
                }
                place += 1
                continue
            }
            if byte == closer, next == UInt8(ascii: "}") {
                code = nil
                place += 2
            } else if closer == UInt8(ascii: "#") {
                place += 1
            } else if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
                place += 1
                while place < bytes.count, bytes[place] != byte { place += bytes[place] == UInt8(ascii: "\\") ? 2 : 1 }
                place += 1
            } else if isName(byte) {
                var end = place
                while end < bytes.count, isName(bytes[end]) { end += 1 }
                if place == 0 || bytes[place - 1] != UInt8(ascii: ".") {
                    names.insert(String(decoding: bytes[place..<end], as: UTF8.self))
                }
                place = end
            } else {
                place += 1
            }
        }
        return names
    }
}

/// Reads the messages that gpt-oss makes an answer of: reasoning in the channel `analysis`, content in `final` and
/// `commentary`, and calls in messages to a recipient.
///
///     <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather
///     <|constrain|>json<|message|>{"city": "Rome"}<|call|>
///
/// The prompt ends with `<|start|>assistant`. A call whose arguments aren't a JSON object comes back as content, its head
/// included; so does everything outside of messages.
package struct HarmonyParser: Sendable {
    package static let markers = [
        "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>",
    ]

    /// Those that end an answer.
    package static let lastMarkers = ["<|call|>", "<|return|>"]

    /// Whether a chat template is written in these messages.
    package static func isSyntax(ofTemplate source: String) -> Bool {
        source.contains("<|channel|>") && source.contains("<|message|>")
    }

    private static let message = Array("<|message|>".utf8)
    private static let enders = ["<|end|>", "<|call|>", "<|return|>", "<|start|>"].map { Array($0.utf8) }
    private static let openers = ["<|start|>", "<|channel|>", " to="].map { Array($0.utf8) }
    /// A head is a few words.
    private static let longestHead = 512

    private enum State {
        /// Before a `<|message|>`.
        case head([UInt8])
        /// `kept` is a beginning of an ender.
        case body(Kind, kept: [UInt8])
        case call(Recipient, [UInt8], place: Int)
        /// What belongs to no message.
        case outside(kept: [UInt8])
    }

    private enum Kind {
        case reasoning
        case content
    }

    private struct Recipient {
        var name: String
        var head: [UInt8]
    }

    private var state = State.head([])

    package init() {}

    package mutating func append(_ text: String) -> [AnswerPart] {
        var parts: [AnswerPart] = []
        var rest = Array(text.utf8)
        while !rest.isEmpty { rest = step(rest, &parts) }
        return parts
    }

    /// What was kept back, when no more comes.
    ///
    /// - Parameter isWhole: the model came to its own end, so that a call's arguments are all there.
    package mutating func finish(isWhole: Bool) -> [AnswerPart] {
        var parts: [AnswerPart] = []
        switch state {
        case .head(let bytes), .outside(let bytes): add(bytes, .content, to: &parts)
        case .body(let kind, let kept): add(kept, kind, to: &parts)
        case .call(let recipient, let bytes, _): end(recipient, bytes, ender: [], isReadable: isWhole, &parts)
        }
        state = .head([])
        return parts
    }

    /// Takes some of the bytes. Returns what is to be taken next.
    private mutating func step(_ bytes: [UInt8], _ parts: inout [AnswerPart]) -> [UInt8] {
        switch state {
        case .head(let before): return readHead(before + bytes, before: before.count, &parts)
        case .outside(let kept): return readOutside(kept + bytes, &parts)
        case .body(let kind, let kept): return readBody(kept + bytes, kind, &parts)
        case .call(let recipient, var whole, let place):
            // Given up here, so that the bytes are appended in place.
            state = .head([])
            whole += bytes
            return readCall(recipient, whole, from: place, &parts)
        }
    }

    private mutating func readHead(_ bytes: [UInt8], before: Int, _ parts: inout [AnswerPart]) -> [UInt8] {
        guard Self.openers.contains(where: { bytes.starts(with: $0) || $0.starts(with: bytes) }) else {
            state = .outside(kept: [])
            return bytes
        }
        guard let place = Self.find(Self.message, in: bytes, from: max(0, before - Self.message.count)) else {
            if bytes.count > Self.longestHead {
                add(bytes, .content, to: &parts)
                state = .outside(kept: [])
            } else {
                state = .head(bytes)
            }
            return []
        }
        let head = Array(bytes[..<place])
        let words = Self.words(head)
        if let recipient = words.first(where: { $0.hasPrefix("to=") })?.dropFirst(3), !recipient.isEmpty {
            let name = recipient.hasPrefix("functions.") ? recipient.dropFirst(10) : recipient
            state = .call(Recipient(name: String(name), head: head + Self.message), [], place: 0)
        } else {
            state = .body(words.contains("analysis") ? .reasoning : .content, kept: [])
        }
        return Array(bytes[(place + Self.message.count)...])
    }

    private mutating func readOutside(_ bytes: [UInt8], _ parts: inout [AnswerPart]) -> [UInt8] {
        let openers = Self.openers.dropLast()
        let (place, found) = Self.firstMarker(Array(openers), in: bytes, from: 0)
        add(Array(bytes[..<place]), .content, to: &parts)
        let rest = Array(bytes[place...])
        if found != nil {
            state = .head([])
            return rest
        }
        state = .outside(kept: rest)
        return []
    }

    private mutating func readBody(_ bytes: [UInt8], _ kind: Kind, _ parts: inout [AnswerPart]) -> [UInt8] {
        let (place, ender) = Self.firstMarker(Self.enders, in: bytes, from: 0)
        add(Array(bytes[..<place]), kind, to: &parts)
        guard let ender else {
            state = .body(kind, kept: Array(bytes[place...]))
            return []
        }
        state = .head([])
        return Self.behind(ender, at: place, in: bytes)
    }

    private mutating func readCall(
        _ recipient: Recipient, _ bytes: [UInt8], from start: Int, _ parts: inout [AnswerPart]
    ) -> [UInt8] {
        let (place, ender) = Self.firstMarker(Self.enders, in: bytes, from: start)
        guard let ender else {
            state = .call(recipient, bytes, place: place)
            return []
        }
        let isStart = ender == Self.enders[3]
        end(recipient, Array(bytes[..<place]), ender: isStart ? [] : ender, isReadable: true, &parts)
        state = .head([])
        return Self.behind(ender, at: place, in: bytes)
    }

    private func end(
        _ recipient: Recipient, _ bytes: [UInt8], ender: [UInt8], isReadable: Bool, _ parts: inout [AnswerPart]
    ) {
        let text = String(decoding: bytes, as: UTF8.self)
        if isReadable, !recipient.name.isEmpty, let arguments = CallReading.object(text) {
            parts.append(.call(ToolCall(name: recipient.name, arguments: arguments)))
        } else {
            add(recipient.head + bytes + ender, .content, to: &parts)
        }
    }

    private func add(_ bytes: [UInt8], _ kind: Kind, to parts: inout [AnswerPart]) {
        guard !bytes.isEmpty else { return }
        let text = String(decoding: bytes, as: UTF8.self)
        parts.append(kind == .reasoning ? .reasoning(text) : .content(text))
    }

    // MARK: Markers

    /// `<|start|>` begins the next head, the others only end.
    private static func behind(_ ender: [UInt8], at place: Int, in bytes: [UInt8]) -> [UInt8] {
        Array(bytes[(ender == enders[3] ? place : place + ender.count)...])
    }

    /// The first marker, or where one may begin that isn't whole yet; else the end.
    private static func firstMarker(
        _ markers: [[UInt8]], in bytes: [UInt8], from start: Int
    ) -> (place: Int, marker: [UInt8]?) {
        var place = start
        while let found = bytes[place...].firstIndex(of: UInt8(ascii: "<")) {
            let tail = bytes[found...]
            if let marker = markers.first(where: { tail.starts(with: $0) }) { return (found, marker) }
            if markers.contains(where: { $0.starts(with: tail) }) { return (found, nil) }
            place = found + 1
        }
        return (bytes.count, nil)
    }

    private static func find(_ marker: [UInt8], in bytes: [UInt8], from start: Int) -> Int? {
        var place = start
        while let found = bytes[place...].firstIndex(of: marker[0]) {
            if bytes[found...].starts(with: marker) { return found }
            place = found + 1
        }
        return nil
    }

    /// A head's words, its markers counted as space.
    private static func words(_ head: [UInt8]) -> [String] {
        var text = String(decoding: head, as: UTF8.self)
        for marker in ["<|start|>", "<|channel|>", "<|constrain|>"] {
            text = text.split(separator: marker, omittingEmptySubsequences: false).joined(separator: " ")
        }
        return text.split { $0 == " " || $0 == "\n" }.map { String($0) }
    }
}

/// Splits an answer that arrives in parts into its reasoning and its content, at the first `</think>`.
///
/// The marker itself belongs to neither. It may be cut by the parts' borders at any place, so text that could be its
/// beginning is kept back until more comes; never more than seven bytes.
package struct ReasoningSplitter: Sendable {
    package enum Segment: Sendable, Equatable {
        case reasoning(String)
        case content(String)
    }

    private enum State {
        /// `kept` is a beginning of the marker.
        case reasoning(kept: [UInt8])
        case content
    }

    private static let marker = Array(ChatTemplate.endThinkMarker.utf8)
    private var state: State

    /// `insideReasoning` is what `ChatPrompt.startsInsideReasoning` says. Outside, everything is content.
    package init(insideReasoning: Bool) {
        state = insideReasoning ? .reasoning(kept: []) : .content
    }

    /// What this part adds, in order; nothing if all of it is kept back.
    package mutating func append(_ part: String) -> [Segment] {
        guard case .reasoning(let kept) = state else { return part.isEmpty ? [] : [.content(part)] }
        let bytes = kept + Array(part.utf8)
        var start = 0
        while let found = bytes[start...].firstIndex(of: Self.marker[0]) {
            let rest = bytes[found...]
            if rest.starts(with: Self.marker) {
                state = .content
                return Self.segment(bytes[..<found], Segment.reasoning)
                    + Self.segment(rest.dropFirst(Self.marker.count), Segment.content)
            }
            if Self.marker.starts(with: rest) {
                state = .reasoning(kept: Array(rest))
                return Self.segment(bytes[..<found], Segment.reasoning)
            }
            start = found + 1
        }
        state = .reasoning(kept: [])
        return Self.segment(bytes[...], Segment.reasoning)
    }

    /// What was kept back, when no more comes.
    package mutating func finish() -> [Segment] {
        guard case .reasoning(let kept) = state else { return [] }
        state = .reasoning(kept: [])
        return Self.segment(kept[...], Segment.reasoning)
    }

    private static func segment(_ bytes: ArraySlice<UInt8>, _ kind: (String) -> Segment) -> [Segment] {
        bytes.isEmpty ? [] : [kind(String(decoding: bytes, as: UTF8.self))]
    }
}

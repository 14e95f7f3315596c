/// Splits an answer that arrives in parts into its reasoning and its content, at the first `</think>`.
///
/// The marker itself belongs to neither. It may be cut by the parts' borders at any place, so text that could be its
/// beginning is kept back until more comes; never more than seven bytes. Some models open their reasoning themselves:
/// then it begins with a `<think>` that only white space precedes, and both belong to nothing.
package struct ReasoningSplitter: Sendable {
    package enum Segment: Sendable, Equatable {
        case reasoning(String)
        case content(String)
    }

    private enum State {
        /// `kept` is white space and a beginning of `<think>`, either of which may be empty.
        case beginning(kept: [UInt8])
        /// `kept` is a beginning of the marker.
        case reasoning(kept: [UInt8])
        case content
    }

    private static let opening = Array(ChatTemplate.thinkMarker.utf8)
    private static let marker = Array(ChatTemplate.endThinkMarker.utf8)
    private var state: State

    /// - Parameters:
    ///   - insideReasoning: what `ChatPrompt.startsInsideReasoning` says.
    ///   - mayBegin: whether the model may open a reasoning itself. Otherwise, outside, everything is content.
    package init(insideReasoning: Bool, mayBegin: Bool = false) {
        state = insideReasoning ? .reasoning(kept: []) : mayBegin ? .beginning(kept: []) : .content
    }

    /// What this part adds, in order; nothing if all of it is kept back.
    package mutating func append(_ part: String) -> [Segment] {
        if case .beginning(let kept) = state { return begin(kept + Array(part.utf8)) }
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

    private mutating func begin(_ bytes: [UInt8]) -> [Segment] {
        let rest = bytes.drop { [0x20, 0x0A, 0x0D, 0x09].contains($0) }
        if rest.starts(with: Self.opening) {
            state = .reasoning(kept: [])
            return append(String(decoding: rest.dropFirst(Self.opening.count), as: UTF8.self))
        }
        if Self.opening.starts(with: rest) {
            state = .beginning(kept: bytes)
            return []
        }
        state = .content
        return Self.segment(bytes[...], Segment.content)
    }

    /// What was kept back, when no more comes.
    package mutating func finish() -> [Segment] {
        if case .beginning(let kept) = state {
            state = .content
            return Self.segment(kept[...], Segment.content)
        }
        guard case .reasoning(let kept) = state else { return [] }
        state = .reasoning(kept: [])
        return Self.segment(kept[...], Segment.reasoning)
    }

    private static func segment(_ bytes: ArraySlice<UInt8>, _ kind: (String) -> Segment) -> [Segment] {
        bytes.isEmpty ? [] : [kind(String(decoding: bytes, as: UTF8.self))]
    }
}

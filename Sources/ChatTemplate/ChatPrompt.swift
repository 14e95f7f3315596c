/// A rendered conversation: markers that the template wrote, and all other text.
///
/// The two are kept apart so that text which spells a marker never becomes one.
package struct ChatPrompt: Sendable, Equatable {
    package enum Piece: Sendable, Equatable {
        /// A special token of the vocabulary: to be encoded with added tokens recognised.
        case control(String)
        /// Everything else: to be encoded with no special token recognised.
        case text(String)
    }

    package private(set) var pieces: [Piece] = []
    /// Whether the answer begins with reasoning, which ends at `</think>`.
    package private(set) var startsInsideReasoning = false

    init(_ text: MarkedText, _ markers: MarkerSet, continuing prefix: ChatMessage? = nil) {
        var text = text
        startsInsideReasoning = text.isInsideReasoning
        if let prefix {
            if startsInsideReasoning, let reasoning = prefix.reasoning {
                text.units += MarkedText(foreign: reasoning).units
                startsInsideReasoning = prefix.content.isEmpty
                if !startsInsideReasoning { text.units += MarkedText(ChatTemplate.endThinkMarker).units }
            }
            text.units += MarkedText(foreign: prefix.content).units
        }
        var place = 0
        var start = 0
        while place < text.units.count {
            guard let marker = markers.marker(in: text, at: place) else {
                place += 1
                continue
            }
            append(text.slice(start..<place))
            pieces.append(.control(marker.string))
            place += marker.units.count
            start = place
        }
        append(text.slice(start..<place))
    }

    private mutating func append(_ text: MarkedText) {
        if !text.units.isEmpty { pieces.append(.text(text.string)) }
    }

    /// The whole as one string, which is what the template's Jinja gives.
    package var text: String {
        pieces.reduce(into: "") { text, piece in
            switch piece {
            case .control(let part), .text(let part): text += part
            }
        }
    }

    /// The ids of the whole, given a tokenizer's way to encode one piece. No piece asks for a begin token: the template
    /// writes it.
    package func tokens<Failure>(_ encode: (Piece) throws(Failure) -> [Int32]) throws(Failure) -> [Int32] {
        var tokens: [Int32] = []
        for piece in pieces { tokens += try encode(piece) }
        return tokens
    }
}

extension MarkedText {
    /// Whether the template opened a reasoning and didn't end it.
    fileprivate var isInsideReasoning: Bool {
        func last(_ marker: String) -> Int? {
            let marker = MarkedText(marker).units
            return stride(from: units.count - marker.count, through: 0, by: -1).first { place in
                units[place..<place + marker.count].elementsEqual(marker)
            }
        }
        guard let opened = last(ChatTemplate.thinkMarker) else { return false }
        return opened > last(ChatTemplate.endThinkMarker) ?? -1
    }
}

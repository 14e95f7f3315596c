/// A rendered conversation: markers that the template wrote, and text that people and the model wrote.
///
/// The two are kept apart so that text which spells a marker never becomes one.
package struct ChatPrompt: Sendable, Equatable {
    package enum Piece: Sendable, Equatable {
        /// A marker, which is one token of the vocabulary: to be encoded with added tokens recognised.
        case control(String)
        /// Content: to be encoded with no added token recognised.
        case text(String)
    }

    package private(set) var pieces: [Piece] = []
    /// Whether the answer begins with reasoning, which ends at `</think>`.
    package internal(set) var startsInsideReasoning = false

    mutating func append(control marker: String) {
        pieces.append(.control(marker))
    }

    /// Adjacent texts become one piece: they are tokenized as one.
    mutating func append(text: String) {
        if text.isEmpty { return }
        if case .text(let earlier) = pieces.last {
            pieces[pieces.count - 1] = .text(earlier + text)
        } else {
            pieces.append(.text(text))
        }
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

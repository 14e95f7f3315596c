package import Constraints
import Tokenizer

/// What an answer must be.
package struct Constraint: Sendable {
    package let grammar: Grammar
    /// Special tokens that are symbols of the grammar. All others are kept out of the answer.
    package let markers: [Int32: Grammar.Symbol]

    package init(_ grammar: Grammar, markers: [Int32: Grammar.Symbol] = [:]) {
        self.grammar = grammar
        self.markers = markers
    }
}

/// Which tokens may come next in an answer under a constraint.
struct AnswerGuide {
    private var matcher: GrammarMatcher
    private let markers: [Int32: Grammar.Symbol]
    private let tokenizer: Tokenizer
    private let endTokens: Set<Int32>

    init(_ constraint: Constraint, tokenizer: Tokenizer, endTokens: Set<Int32>) {
        matcher = GrammarMatcher(constraint.grammar)
        markers = constraint.markers
        self.tokenizer = tokenizer
        self.endTokens = endTokens
    }

    /// Whether the answer is complete and nothing can follow.
    var isFinished: Bool { matcher.isFinished }

    /// Whether the next token may be this one: an end token where the answer is complete, any other where its bytes go on.
    mutating func accepts(_ token: Int32) -> Bool {
        if endTokens.contains(token) { return matcher.isComplete }
        if let marker = markers[token] { return matcher.accepts(marker: marker) }
        return !tokenizer.isSpecial(token) && matcher.accepts(tokenizer.slice(of: token))
    }

    /// Goes on by the token that was asked for last, which must have been accepted and end nothing.
    mutating func takeAccepted() { matcher.takeAccepted() }

    /// Why there is no token. Vocabularies that have a token for each byte always have one.
    var failure: GenerationError {
        GenerationError(
            .constraintFailed,
            matcher.isExhausted
                ? "what the answer must be leaves too many readings open to go on; a simpler schema helps"
                : "no token of the vocabulary goes on as the answer must: it lacks tokens for single bytes")
    }
}

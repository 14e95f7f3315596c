/// Why a text can't be run through a model.
package struct EvaluationError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// The container has no tokenizer, so a text means nothing to the model.
        case noTokenizer
        /// A text that isn't UTF-8, or too short for a single chunk.
        case unusableText
        /// Two models that can't be compared.
        case differentModels
        /// The logits aren't numbers.
        case notFinite
    }

    package var code: Code
    package var message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}

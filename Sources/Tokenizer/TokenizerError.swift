/// Why a tokenizer can't be loaded, or a text not encoded.
package struct TokenizerError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable {
        /// The file isn't the JSON that it should be, or contradicts itself.
        case malformed
        /// The file asks for something that this tokenizer doesn't do.
        case unsupported
        /// A size is beyond what is sensible.
        case tooLarge
        /// A pattern took more work or memory on a text than it may.
        case patternLimit
    }

    package let code: Code
    /// The field of `tokenizer.json` or `tokenizer_config.json` in question.
    package let field: String
    package let message: String

    package init(_ code: Code, field: String, _ message: String) {
        self.code = code
        self.field = field
        self.message = message
    }

    package var description: String { "\(field): \(message)" }
}

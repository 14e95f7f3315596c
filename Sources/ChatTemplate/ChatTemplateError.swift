/// Why a conversation can't be rendered.
package struct ChatTemplateError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: Sendable {
        /// The model has no chat template.
        case missing
        /// The model's chat template can't be run.
        case unsupported
        /// `tokenizer_config.json` lacks what the template needs.
        case malformed
        /// The messages can't be rendered as they are.
        case invalidMessages
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}

/// Why a conversion can't be done.
package struct QuantizerError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// Weights so large that a group's f16 scale can't hold them.
        case outOfRange
        case outOfMemory
        /// A rule, or rules together, that can't be followed.
        case badRule
        /// The disk has no room for the file.
        case noSpace
        case cancelled
        /// An unfinished conversion was begun with something else.
        case changed
    }

    package var code: Code
    package var message: String
    package var tensor: String?
    /// What the person can do.
    package var advice: String?

    package init(code: Code, message: String, tensor: String? = nil, advice: String? = nil) {
        self.code = code
        self.message = message
        self.tensor = tensor
        self.advice = advice
    }

    package var description: String {
        (tensor.map { "tensor '\($0)': " } ?? "") + message + (advice.map { ". \($0)" } ?? "")
    }
}

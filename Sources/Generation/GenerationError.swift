/// Why a request wasn't taken, or its answer ended early.
package struct GenerationError: Error, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable {
        /// The queue is full; `retryAfter` says when to come again.
        case queueFull
        /// The prompt has more tokens than the context.
        case contextLengthExceeded
        /// A value of the request makes no sense.
        case invalidRequest
        /// The model's file couldn't be read, or is damaged.
        case modelInputOutput
        /// The reader went away, or said so.
        case cancelled
        /// The engine takes no more requests because it is stopping.
        case draining
        /// The answer can't go on as its constraint demands.
        case constraintFailed
        /// Something that should not happen, such as logits that aren't numbers.
        case `internal`
    }

    package let code: Code
    package let message: String
    /// For `queueFull`: an estimate, from how long answers took lately.
    package let retryAfter: Duration?

    package init(_ code: Code, _ message: String, retryAfter: Duration? = nil) {
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
    }

    package var description: String { message }

    static let cancelled = GenerationError(.cancelled, "the request was cancelled")
    static let draining = GenerationError(.draining, "the daemon is stopping; send the request again in a moment")
}

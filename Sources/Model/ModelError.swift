package import Container
import ExpertPaging

/// Why a model could not be planned, loaded or stepped.
package struct ModelError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// The memory that may be used doesn't hold the least plan.
        case insufficientMemory
        /// An option is out of its range.
        case invalidOption
        /// The container holds something that this forward pass doesn't compute.
        case unsupported
        /// The operating system refused memory or threads.
        case outOfMemory
        /// A resident tensor could not be read.
        case unreadableTensor
        /// An expert could not be brought into memory; the model goes on.
        case unreadableExpert
        /// An expert is still being read, much longer than storage that works ever takes: whoever needs it may try again
        /// once it is there, while others go on.
        case slowExpert
        /// A token isn't in the vocabulary.
        case invalidToken
        /// More positions were asked for than the state has room for.
        case contextExceeded
        /// Other sequences hold all of the KV cache.
        case cacheFull
        /// The caller gave the step up.
        case cancelled
    }

    package var code: Code
    package var message: String
    /// The error of the room below, if one is behind this.
    package var cause: (any Error)?

    package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// The expert that a `.slowExpert` is about.
    package var slowExpert: ExpertKey? { code == .slowExpert ? (cause as? PagingError)?.expert : nil }

    package var description: String { cause.map { "\(message): \($0)" } ?? message }

    package static let cancelled = ModelError(.cancelled, "the step was cancelled")
}

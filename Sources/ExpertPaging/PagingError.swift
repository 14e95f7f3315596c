package import Container

/// Why an expert, or the store itself, isn't to be had.
package struct PagingError: Error, CustomStringConvertible {
    package enum Code: Sendable {
        /// Fewer slots were asked for than one token needs.
        case tooFewSlots
        /// The arena's memory was refused.
        case outOfMemory
        /// A thread could not be started.
        case noThread
        /// More experts are held at once than `ExpertStore.leaseLimit`.
        case tooManyLeases
        /// The layer or expert isn't in the container.
        case unknownExpert
        /// The blob could not be read, or isn't what was written.
        case unreadable
        /// What is kept of the experts' use can't be read or written.
        case badPopularity
        /// What an earlier run left in memory can't be used.
        case badKept
        /// The read of it takes much longer than storage that works ever does; it goes on.
        case slow
        /// The caller no longer wants it.
        case cancelled
    }

    package let code: Code
    package let message: String
    /// The expert that could not be read.
    package let expert: ExpertKey?
    /// What the container said.
    package let cause: ContainerError?

    package init(_ code: Code, _ message: String, expert: ExpertKey? = nil, cause: ContainerError? = nil) {
        self.code = code
        self.message = message
        self.expert = expert
        self.cause = cause
    }

    package var description: String { message }

    static func unreadable(_ source: ExpertSource, cause: ContainerError) -> PagingError {
        PagingError(
            .unreadable,
            "\(source.key), at offset \(source.offset) of the model, can't be used: \(cause)",
            expert: source.key, cause: cause)
    }
}

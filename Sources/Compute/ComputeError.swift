/// What can go wrong before any arithmetic starts: memory that isn't there, or a wrong choice of kernels.
package struct ComputeError: Error, Equatable, CustomStringConvertible {
    package enum Code: String, Sendable {
        case outOfMemory
        case unknownKernels
        case unavailableKernels
    }

    package var code: Code
    /// What happened, what was expected and what to do.
    package var message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}

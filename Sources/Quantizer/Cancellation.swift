import Synchronization

/// A wish to stop, set once from anywhere, such as a signal's handler.
package final class Cancellation: Sendable {
    private let flag = Atomic(false)

    package init() {}

    package func request() { flag.store(true, ordering: .relaxed) }
    package var isRequested: Bool { flag.load(ordering: .relaxed) }

    package func check() throws(QuantizerError) {
        if isRequested { throw QuantizerError(code: .cancelled, message: "cancelled") }
    }
}

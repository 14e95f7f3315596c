import Synchronization

/// How many tokens a model has read; written by the thread that runs it, read by whoever shows it.
package final class TextProgress: Sendable {
    package let totalTokenCount: Int
    private let done = Atomic(0)

    package init(totalTokenCount: Int) { self.totalTokenCount = totalTokenCount }

    package var tokenCount: Int { done.load(ordering: .relaxed) }

    func advance(_ tokenCount: Int) { done.add(tokenCount, ordering: .relaxed) }
}

/// The events of one answer, for one reader.
///
/// The answer is given up, and the engine freed, by `cancel()`, by cancelling the reading task, and by dropping the
/// stream and its iterators. A reader that waits then gets the error `.cancelled` at once.
package struct GenerationStream: AsyncSequence, Sendable {
    package typealias Element = GenerationEvent
    package typealias Failure = GenerationError

    private let lease: Lease

    init(job: Job, cancel: @escaping @Sendable (Job) -> Void) {
        lease = Lease(job: job, cancel: cancel)
    }

    package func cancel() { lease.giveUp() }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(lease: lease) }

    package struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate let lease: Lease

        package mutating func next() async throws(GenerationError) -> GenerationEvent? {
            try await next(isolation: nil)
        }

        package mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(GenerationError) -> GenerationEvent? {
            let lease = lease
            let result = await withTaskCancellationHandler {
                await lease.next()
            } onCancel: {
                lease.giveUp()
            }
            return try result.get()
        }
    }

    /// Lives as long as somebody can still read.
    fileprivate final class Lease: Sendable {
        private let job: Job
        private let cancel: @Sendable (Job) -> Void

        init(job: Job, cancel: @escaping @Sendable (Job) -> Void) {
            self.job = job
            self.cancel = cancel
        }

        deinit { giveUp() }

        func giveUp() { cancel(job) }

        func next() async -> Result<GenerationEvent?, GenerationError> {
            do {
                return .success(try await job.mailbox.next())
            } catch {
                return .failure(error)
            }
        }
    }
}

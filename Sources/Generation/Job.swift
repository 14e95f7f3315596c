import Synchronization

/// A request on its way through the engine.
final class Job: Sendable {
    let request: GenerationRequest
    let mailbox = Mailbox()
    let submitted = ContinuousClock.now
    private let cancelled = Atomic(false)

    init(request: GenerationRequest) { self.request = request }

    /// Whether nobody waits for it any more.
    var isCancelled: Bool { cancelled.load(ordering: .relaxed) }

    func markCancelled() { cancelled.store(true, ordering: .relaxed) }
}

import Synchronization

/// What the engine has for one reader. Posting never waits; what is unread is joined, so the memory is bounded by the
/// answer's text, and that by the context.
final class Mailbox: Sendable {
    private struct State {
        var position: Int?
        var progress: (processed: Int, total: Int)?
        var delta = TextDelta()
        var outcome: Result<Completion, GenerationError>?
        var isOver = false
        var reader: CheckedContinuation<Void, Never>?

        var hasNews: Bool { position != nil || progress != nil || !delta.isEmpty || outcome != nil || isOver }

        /// In the order in which things happened.
        mutating func take() -> Result<GenerationEvent, GenerationError>? {
            if let position {
                self.position = nil
                return .success(.queued(position: position))
            }
            if let progress {
                self.progress = nil
                return .success(.prefill(processed: progress.processed, total: progress.total))
            }
            if !delta.isEmpty {
                defer { delta = TextDelta() }
                return .success(.text(delta))
            }
            guard let outcome else { return nil }
            self.outcome = nil
            isOver = true
            return outcome.map { .finished($0) }
        }
    }

    private let state = Mutex(State())

    /// Posts a position, and returns the reader, whom the caller resumes when it holds no lock that cancelling takes:
    /// a task that is being cancelled is locked meanwhile, and so is one that is resumed.
    func note(position: Int) -> CheckedContinuation<Void, Never>? { change { $0.position = position } }

    func post(processed: Int, total: Int) {
        update { state in
            state.position = nil
            state.progress = (processed, total)
        }
    }

    func post(_ delta: TextDelta) { update { $0.delta.append(delta) } }

    /// Only the first outcome counts.
    func post(outcome: Result<Completion, GenerationError>) { update { $0.outcome = outcome } }

    private func update(_ body: (inout State) -> Void) { change(body)?.resume() }

    /// Returns the reader, to be resumed.
    private func change(_ body: (inout State) -> Void) -> CheckedContinuation<Void, Never>? {
        state.withLock { state in
            guard state.outcome == nil, !state.isOver else { return nil }
            body(&state)
            defer { state.reader = nil }
            return state.reader
        }
    }

    /// The next event for the one reader; nil after the outcome.
    func next() async throws(GenerationError) -> GenerationEvent? {
        while true {
            let (event, isOver) = state.withLock { state in (state.take(), state.isOver) }
            if let event { return try event.get() }
            if isOver { return nil }
            await withCheckedContinuation { continuation in
                let hasNews = state.withLock { state in
                    if state.hasNews { return true }
                    precondition(state.reader == nil, "a generation stream has one reader")
                    state.reader = continuation
                    return false
                }
                if hasNews { continuation.resume() }
            }
        }
    }
}

import Glibc
import Synchronization

/// Ctrl-C while an answer runs.
enum InterruptSignal {
    private static let wasRaised = Atomic(false)

    /// Ctrl-C does nothing outside answers from now on: for a line editor, which gets it as a key. Otherwise one that is
    /// pressed just when an answer ends would end the program.
    static func ignoreBetweenAnswers() {
        signal(SIGINT, SIG_IGN)
    }

    /// Runs `operation` with SIGINT cancelling its task instead of ending the program; tells whether that happened.
    static func cancelling<Result: Sendable>(
        _ operation: @escaping @Sendable () async -> Result
    ) async -> (result: Result, wasInterrupted: Bool) {
        wasRaised.store(false, ordering: .relaxed)
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in InterruptSignal.wasRaised.store(true, ordering: .relaxed) }
        action.sa_flags = SA_RESTART
        var earlier = sigaction()
        sigaction(SIGINT, &action, &earlier)
        defer { sigaction(SIGINT, &earlier, nil) }

        let task = Task { await operation() }
        let watch = Task {
            while !wasRaised.load(ordering: .relaxed) { try await Task.sleep(for: .milliseconds(20)) }
            task.cancel()
        }
        defer { watch.cancel() }
        return (await task.value, wasRaised.load(ordering: .relaxed))
    }
}

import Synchronization

/// The engine's own account of what it does, written by its thread and read by anybody.
final class EngineLedger: Sendable {
    struct Entries {
        var activity = EngineStatus.Activity.idle
        var totals = EngineStatus.Totals()
        var prefillRate: Double?
        /// Tokens that steps brought and the seconds that they took; the older, the less they count.
        private var steppedTokens = 0.0
        private var stepSeconds = 0.0
        /// How long a request keeps its place: a mean in which every later one counts a quarter.
        var meanDuration: Duration = .seconds(2)

        var decodeRate: Double? { stepSeconds > 0 ? steppedTokens / stepSeconds : nil }

        mutating func recordStep(tokens: Int, _ duration: Duration) {
            steppedTokens = steppedTokens * 0.98 + Double(tokens)
            stepSeconds = stepSeconds * 0.98 + duration.seconds
        }
    }

    private let entries = Mutex(Entries())
    /// Nanoseconds since `epoch`.
    private let lastBeat = Atomic<Int64>(0)
    private let epoch = ContinuousClock.now

    var current: Entries { entries.withLock { $0 } }

    func update(_ change: (inout Entries) -> Void) { entries.withLock { change(&$0) } }

    func beat() { lastBeat.store((ContinuousClock.now - epoch).nanoseconds, ordering: .relaxed) }

    var sinceLastBeat: Duration {
        (ContinuousClock.now - epoch) - .nanoseconds(lastBeat.load(ordering: .relaxed))
    }
}

extension Duration {
    var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }

    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

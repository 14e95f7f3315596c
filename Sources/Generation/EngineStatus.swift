package import ExpertPaging

/// What the engine does and has done, at one moment.
package struct EngineStatus: Sendable {
    package enum Activity: Sendable, Equatable {
        case idle
        /// A prompt is read, between the steps of those that run.
        case prefill(processed: Int, total: Int)
        /// Tokens of the running answers so far.
        case decode(tokenCount: Int)
    }

    /// What the requests since the start came to.
    package struct Totals: Sendable, Equatable {
        package var completed = 0
        package var failed = 0
        package var cancelled = 0
        /// Refused because the queue was full.
        package var rejected = 0
        package var promptTokens = 0
        package var completionTokens = 0
        /// How often an expert was full, in answers that are complete.
        package var droppedTokens = 0

        package init() {}
    }

    package var activity: Activity
    package var isDraining: Bool
    package var runningCount: Int
    package var waitingCount: Int
    package var queueLimit: Int
    package var totals: Totals
    /// Tokens a second of the prompt that was computed last; nil before there was one.
    package var prefillRate: Double?
    /// Tokens a second of late, of all answers together; nil before there were any.
    package var decodeRate: Double?
    package var contextLength: Int
    package var paging: PagingCounters
    package var residentExpertCount: Int
    package var slotCount: Int
}

/// Whether the engine moves, for a watchdog.
package struct Heartbeat: Sendable, Equatable {
    /// Whether there is a request that the engine should be working on.
    package var isBusy: Bool
    /// Since the engine last looked whether to go on: in every layer of the model, and while it waits for storage.
    package var sinceLastBeat: Duration

    package init(isBusy: Bool, sinceLastBeat: Duration) {
        self.isBusy = isBusy
        self.sinceLastBeat = sinceLastBeat
    }

    /// Whether it is idle, or has moved within `limit`.
    package func isAlive(within limit: Duration) -> Bool { !isBusy || sinceLastBeat <= limit }
}

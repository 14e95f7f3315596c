import Container
import Model
import Synchronization
import Tokenizer

/// What the engine's thread does, and what others ask of it.
final class EngineLoop: Sendable {
    let model: any LanguageModel
    let queue: RequestQueue
    let ledger = EngineLedger()
    let stopped = Gate()
    private let cache: KeyValueCache
    private let tokenizer: Tokenizer
    private let endTokens: Set<Int32>
    /// When running answers must end; nil while the engine isn't stopping.
    private let deadline = Mutex<ContinuousClock.Instant?>(nil)
    private let hasDeadline = Atomic(false)

    init(
        model: any LanguageModel, cache: KeyValueCache, tokenizer: Tokenizer, endTokens: Set<Int32>,
        queueLimit: Int
    ) {
        self.model = model
        self.cache = cache
        self.tokenizer = tokenizer
        self.endTokens = endTokens
        queue = RequestQueue(limit: queueLimit, concurrency: model.plan.sequenceCount)
    }

    // MARK: Any thread

    func submit(_ request: GenerationRequest) throws(GenerationError) -> GenerationStream {
        try request.check(
            vocabularySize: model.configuration.vocabularySize, contextLength: model.contextLength)
        let job = Job(request: request)
        // An engine that has slept for an hour isn't late with what comes now.
        if queue.isIdle { ledger.beat() }
        switch queue.append(job) {
        case .admitted:
            return GenerationStream(job: job) { [queue, ledger] in Self.cancel($0, in: queue, ledger) }
        case .closed:
            throw .draining
        case .full:
            ledger.update { $0.totals.rejected += 1 }
            // A place is free when one of the running answers is over.
            let estimate = max(.seconds(1), ledger.current.meanDuration / model.plan.sequenceCount)
            throw GenerationError(
                .queueFull, "\(queue.limit) requests are waiting already, which is the limit", retryAfter: estimate)
        }
    }

    /// The reader is told at once; a running answer ends when the model next asks.
    private static func cancel(_ job: Job, in queue: RequestQueue, _ ledger: EngineLedger) {
        job.markCancelled()
        let wasWaiting = queue.remove(job)
        if wasWaiting { ledger.update { $0.totals.cancelled += 1 } }
        job.mailbox.post(outcome: .failure(.cancelled))
    }

    func stop(at instant: ContinuousClock.Instant) {
        deadline.withLock { $0 = min($0 ?? instant, instant) }
        hasDeadline.store(true, ordering: .releasing)
        for job in queue.close() { job.mailbox.post(outcome: .failure(.draining)) }
    }

    // MARK: The engine's thread

    func run() {
        let batch = Batch(
            model: model, cache: cache, tokenizer: tokenizer, endTokens: endTokens, ledger: ledger,
            shouldStop: shouldStop)
        while batch.count > 0 || queue.waitForJob() {
            ledger.beat()
            // A request joins at the next step.
            if batch.takesMore, let job = queue.first { _ = batch.begin(job, start: { queue.start(job) }) }
            batch.work()
            for (answer, outcome) in batch.takeEnded() { end(answer, outcome, activity: batch.activity) }
        }
        stopped.open()
    }

    private func end(_ answer: RunningAnswer, _ outcome: Batch.Outcome, activity: EngineStatus.Activity) {
        let duration = answer.duration
        ledger.update { entries in
            entries.activity = activity
            entries.meanDuration = (entries.meanDuration * 3 + duration) / 4
            switch outcome {
            case .success(let completion):
                entries.totals.completed += 1
                entries.totals.droppedTokens += completion.usage.droppedTokens ?? 0
            case .failure(let error) where error.code == .cancelled: entries.totals.cancelled += 1
            case .failure: entries.totals.failed += 1
            }
        }
        queue.end()
        // Last, so that whoever has read an answer finds it in the account.
        answer.job.mailbox.post(outcome: outcome)
    }

    /// Asked by the model in every layer: whether to give an answer up. Shows, by the way, that the engine moves.
    private func shouldStop(_ job: Job) -> Bool {
        ledger.beat()
        return job.isCancelled || isPastDeadline
    }

    private var isPastDeadline: Bool {
        guard hasDeadline.load(ordering: .acquiring) else { return false }
        return deadline.withLock { $0.map { ContinuousClock.now >= $0 } ?? false }
    }
}

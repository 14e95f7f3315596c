import Container
import Model
import Synchronization
import Tokenizer

/// What the engine's thread does.
final class EngineLoop: @unchecked Sendable {
    // Sendable: `state` is used by the engine's thread alone, but for its constant capacity; everything else is
    // Sendable itself.
    let model: LoadedModel
    let state: DecodingState
    let queue: RequestQueue
    let ledger = EngineLedger()
    let stopped = Gate()
    private let tokenizer: BytePairTokenizer
    private let endTokens: Set<Int32>
    /// When a running answer must end; nil while the engine isn't stopping.
    private let deadline = Mutex<ContinuousClock.Instant?>(nil)
    private let hasDeadline = Atomic(false)

    init(
        model: LoadedModel, state: DecodingState, tokenizer: BytePairTokenizer, endTokens: Set<Int32>, queueLimit: Int
    ) {
        self.model = model
        self.state = state
        self.tokenizer = tokenizer
        self.endTokens = endTokens
        queue = RequestQueue(limit: queueLimit)
    }

    // MARK: Any thread

    func submit(_ request: GenerationRequest) throws(GenerationError) -> GenerationStream {
        try request.check(vocabularySize: model.configuration.vocabularySize, contextLength: state.capacity)
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
            // A place is free when the running answer is over.
            let estimate = max(.seconds(1), ledger.current.meanDuration)
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
        while let job = queue.take() {
            ledger.beat()
            let start = ContinuousClock.now
            let outcome = Result { () throws(GenerationError) in try answer(job, start: start) }
            let duration = ContinuousClock.now - start
            ledger.update { entries in
                entries.activity = .idle
                entries.meanDuration = (entries.meanDuration * 3 + duration) / 4
                switch outcome {
                case .success: entries.totals.completed += 1
                case .failure(let error) where error.code == .cancelled: entries.totals.cancelled += 1
                case .failure: entries.totals.failed += 1
                }
            }
            // Last, so that whoever has read an answer finds it in the account.
            job.mailbox.post(outcome: outcome)
        }
        stopped.open()
    }

    /// Asked by the model in every layer: whether to give the step up. Shows, by the way, that the engine moves.
    private func shouldStop(_ job: Job) -> Bool {
        ledger.beat()
        return job.isCancelled || isPastDeadline
    }

    private var isPastDeadline: Bool {
        guard hasDeadline.load(ordering: .acquiring) else { return false }
        return deadline.withLock { $0.map { ContinuousClock.now >= $0 } ?? false }
    }

    private func answer(
        _ job: Job, start: ContinuousClock.Instant
    ) throws(GenerationError) -> Completion {
        let request = job.request
        var timing = Completion.Timing()
        timing.queued = start - job.submitted
        try prefill(job, start: start)
        let decodeStart = ContinuousClock.now
        timing.prefill = decodeStart - start
        let prefillRate = Double(request.promptTokens.count) / max(timing.prefill.seconds, 1e-9)
        ledger.update { entries in
            entries.prefillRate = prefillRate
            entries.totals.promptTokens += request.promptTokens.count
        }

        var answer = Answer(
            request: request, tokenizer: tokenizer, vocabularySize: model.configuration.vocabularySize,
            endTokens: endTokens, contextLength: state.capacity)
        while true {
            guard !shouldStop(job) else { throw reasonToStop(job) }
            var delta = TextDelta()
            let step = try answer.advance(by: model.logits.span, into: &delta)
            job.mailbox.post(delta)
            timing.decode = ContinuousClock.now - decodeStart
            report(tokenCount: answer.usage.completionTokens, after: timing.decode)
            switch step {
            case .finished(let reason):
                return Completion(reason: reason, usage: answer.usage, seed: answer.seed, timing: timing)
            case .more(let token):
                do {
                    try model.decode(token, state: state, cancelled: { shouldStop(job) })
                } catch {
                    throw translate(error, job)
                }
            }
        }
    }

    private func prefill(_ job: Job, start: ContinuousClock.Instant) throws(GenerationError) {
        let tokens = job.request.promptTokens
        let report = { (processed: Int) in
            job.mailbox.post(processed: processed, total: tokens.count)
            self.ledger.update { $0.activity = .prefill(processed: processed, total: tokens.count) }
        }
        report(0)
        state.reset()
        do {
            try model.prefill(tokens[...], state: state, cancelled: { shouldStop(job) }, progress: report)
        } catch {
            throw translate(error, job)
        }
    }

    private func report(tokenCount: Int, after duration: Duration) {
        ledger.update { entries in
            entries.activity = .decode(tokenCount: tokenCount)
            entries.totals.completionTokens += 1
            // The first token comes from the prompt's own logits.
            if tokenCount > 1 { entries.decodeRate = Double(tokenCount - 1) / max(duration.seconds, 1e-9) }
        }
    }

    private func reasonToStop(_ job: Job) -> GenerationError { job.isCancelled ? .cancelled : .draining }

    private func translate(_ error: ModelError, _ job: Job) -> GenerationError {
        switch error.code {
        case .cancelled: reasonToStop(job)
        case .unreadableExpert, .unreadableTensor: GenerationError(.modelInputOutput, error.description)
        case .contextExceeded: GenerationError(.contextLengthExceeded, error.description)
        case .invalidToken: GenerationError(.invalidRequest, error.description)
        case .insufficientMemory, .invalidOption, .unsupported, .outOfMemory, .cacheFull:
            GenerationError(.internal, error.description)
        }
    }
}

import Container
import ExpertPaging
import Model
import Tokenizer

/// The answers that the engine works on: one whose prompt is read, and several that the model steps together. Used by
/// the engine's thread alone.
///
/// A prompt is read a layer at a time between the steps of the others. An answer takes cache blocks as it grows; when none
/// are left, kept prompts give theirs up, and then the youngest answer is put aside until another has ended.
///
/// An answer that needs an expert whose read takes longer than storage that works ever does rests until it is there, while
/// the others go on. So does a prompt, and others are read meanwhile.
final class Batch {
    typealias Outcome = Result<Completion, GenerationError>

    let model: any LanguageModel
    private let cache: KeyValueCache
    private let tokenizer: Tokenizer
    private let endTokens: Set<Int32>
    private let ledger: EngineLedger
    private let shouldStop: (Job) -> Bool

    private var reading: Reading?
    /// Prompts whose reading rests, with their memory.
    private var resting: [Reading] = []
    /// In the order in which they were begun.
    private var decoding: [RunningAnswer] = []
    /// Put aside, in the same order.
    private var aside: [RunningAnswer] = []
    /// Whether somebody must end before anything is begun.
    private var isCrowded = false
    private var prefixes = PrefixCache()
    private var nextNumber = 0
    /// How long a step takes while no prompt is read: a mean in which every later one counts an eighth.
    private var stepAlone: Duration?
    /// Kept for its memory.
    private var steps: [SequenceStep] = []
    /// What ended since it was last asked for.
    private var ended: [(answer: RunningAnswer, outcome: Outcome)] = []

    private struct Reading {
        let answer: RunningAnswer
        var prefill: Prefill
        let cachedTokens: Int
        var share: TimeShare
    }

    init(
        model: any LanguageModel, cache: KeyValueCache, tokenizer: Tokenizer, endTokens: Set<Int32>,
        ledger: EngineLedger, shouldStop: @escaping (Job) -> Bool
    ) {
        self.model = model
        self.cache = cache
        self.tokenizer = tokenizer
        self.endTokens = endTokens
        self.ledger = ledger
        self.shouldStop = shouldStop
        steps.reserveCapacity(model.plan.sequenceCount)
    }

    var count: Int { decoding.count + aside.count + resting.count + (reading == nil ? 0 : 1) }

    var activity: EngineStatus.Activity {
        if let reading = reading ?? (decoding.isEmpty ? resting.first : nil) {
            return .prefill(
                processed: reading.cachedTokens + reading.prefill.processedCount, total: reading.answer.prompt.count)
        }
        guard count > 0 else { return .idle }
        var tokenCount = 0
        for answer in decoding { tokenCount += answer.chosen.count }
        for answer in aside { tokenCount += answer.chosen.count }
        return .decode(tokenCount: tokenCount)
    }

    func takeEnded() -> [(answer: RunningAnswer, outcome: Outcome)] {
        defer { ended.removeAll() }
        return ended
    }

    // MARK: Coming

    /// Whether another request can be begun, if its prompt finds room.
    var takesMore: Bool {
        reading == nil && restedIndex == nil && aside.isEmpty && !isCrowded && count < model.plan.sequenceCount
    }

    /// Begins a request if its prompt finds room; `start` is asked at the last moment whether it is still wanted. False
    /// when there is no room: then somebody must end first.
    func begin(_ job: Job, start: () -> Bool) -> Bool {
        let request = job.request
        guard let (state, cachedTokens) = makeState(for: request.promptTokens, tokenCount: request.promptTokens.count)
        else {
            isCrowded = true
            return false
        }
        guard start() else { return true }
        nextNumber += 1
        let answer = RunningAnswer(
            job: job, number: nextNumber, state: state,
            answer: Answer(
                request: request, tokenizer: tokenizer, vocabularySize: model.configuration.vocabularySize,
                endTokens: endTokens, contextLength: model.contextLength))
        read(answer, state, cachedTokens: cachedTokens)
        return true
    }

    /// A state that begins with as much of the prompt as is kept, and has room for `tokenCount` in all without taking every
    /// answer's next block; nil if there is none.
    private func makeState(for prompt: [Int32], tokenCount: Int) -> (DecodingState, cachedTokens: Int)? {
        let state = cache.makeState(capacity: model.plan.contextLength)
        if model.sharesPrefixes, let match = prefixes.match(prompt) { state.adopt(match.prefix, count: match.count) }
        let missing = tokenCount - state.tokenCount
        guard makeRoom(for: missing, in: state, beside: decoding.count), state.reserve(missing) else { return nil }
        return (state, state.tokenCount)
    }

    private func read(_ answer: RunningAnswer, _ state: DecodingState, cachedTokens: Int) {
        answer.start(in: state, cachedTokens: cachedTokens)
        do {
            let prefill = try model.beginPrefill(answer.prompt[cachedTokens...], state: state)
            reading = Reading(
                answer: answer, prefill: prefill, cachedTokens: cachedTokens, share: TimeShare(stepAlone: stepAlone))
            reportProgress(answer, cachedTokens)
        } catch {
            end(answer, .failure(translate(error, answer.job)))
        }
    }

    /// Kept prompts give up blocks until `count` tokens fit, with one block to spare for each of `others`.
    private func makeRoom(for count: Int, in state: DecodingState, beside others: Int = 0) -> Bool {
        while state.missingBlockCount(for: count) + others > cache.freeBlockCount {
            guard prefixes.dropBlock() else { return false }
        }
        return true
    }

    // MARK: Working

    /// Does the next piece of work: a layer of a prompt, or a step of the answers.
    func work() {
        endStopped()
        if reading == nil { readNext() }
        let start = ContinuousClock.now
        let canStep = !decoding.allSatisfy(isResting)
        if let reading, !canStep || reading.share.isPrefillDue {
            readLayer()
            self.reading?.share.spend(onPrefill: ContinuousClock.now - start)
        } else if canStep {
            let tokenCount = step()
            let duration = ContinuousClock.now - start
            if reading == nil {
                stepAlone = ((stepAlone ?? duration) * 7 + duration) / 8
            } else {
                reading?.share.spend(onStep: duration)
            }
            ledger.update { $0.recordStep(tokens: tokenCount, duration) }
        } else if count > 0 {
            model.experts.waitForParts()
        }
    }

    /// Whether the expert that an answer needs is still on its way.
    private func isResting(_ answer: RunningAnswer) -> Bool {
        answer.awaited.contains(where: model.experts.isComing)
    }

    /// Of a prompt that needn't rest any more.
    private var restedIndex: Int? { resting.firstIndex { !isResting($0.answer) } }

    private func rest(_ answer: RunningAnswer, for slow: ExpertKey) {
        if !answer.awaited.contains(slow) { answer.awaited.append(slow) }
    }

    /// Lets go of what is held for an answer and for no other.
    private func forsake(_ answer: RunningAnswer) {
        guard !answer.awaited.isEmpty else { return }
        let awaited = answer.awaited
        answer.awaited = []
        let others = decoding + resting.map(\.answer) + (reading.map { [$0.answer] } ?? [])
        for expert in awaited where !others.contains(where: { $0.awaited.contains(expert) }) {
            model.experts.forsake(expert)
        }
    }

    private func endStopped() {
        if let reading { endIfStopped(reading.answer) }
        for index in resting.indices.reversed() { endIfStopped(resting[index].answer) }
        for index in decoding.indices.reversed() { endIfStopped(decoding[index]) }
        for index in aside.indices.reversed() { endIfStopped(aside[index]) }
    }

    private func endIfStopped(_ answer: RunningAnswer) {
        if shouldStop(answer.job) { end(answer, .failure(reasonToStop(answer.job))) }
    }

    /// Goes on with a prompt that was begun earlier, if there is one that can.
    private func readNext() {
        if let index = restedIndex {
            reading = resting.remove(at: index)
        } else if !isCrowded, let first = aside.first {
            readAgain(first)
        }
    }

    private func readAgain(_ answer: RunningAnswer) {
        let tokenCount = answer.prompt.count + answer.chosen.count
        guard let (state, cachedTokens) = makeState(for: answer.prompt, tokenCount: tokenCount) else {
            isCrowded = true
            return
        }
        aside.removeFirst()
        read(answer, state, cachedTokens: cachedTokens)
    }

    private func readLayer() {
        guard var reading = self.reading.take() else { return }
        let answer = reading.answer
        let start = ContinuousClock.now
        let before = reading.prefill.processedCount
        do {
            try model.advance(&reading.prefill, stepsAside: true, cancelled: { shouldStop(answer.job) })
        } catch {
            if let slow = error.slowExpert {
                rest(answer, for: slow)
                resting.append(reading)
                return
            }
            return end(answer, .failure(translate(error, answer.job)))
        }
        if reading.prefill.isBetweenChunks { forsake(answer) }
        guard reading.prefill.isDone else {
            self.reading = reading
            let processed = reading.prefill.processedCount
            if processed > before { reportProgress(answer, reading.cachedTokens + processed) }
            return
        }
        let seconds = (reading.share.prefill + (ContinuousClock.now - start)).seconds
        ledger.update { entries in
            entries.prefillRate = Double(reading.prefill.processedCount) / max(seconds, 1e-9)
        }
        if model.sharesPrefixes { prefixes.insert(answer.prompt, answer.state) }
        decoding.append(answer)
        decoding.sort { $0.number < $1.number }
        if answer.isCaughtUp {
            reportProgress(answer, answer.prompt.count)
            ledger.update { $0.totals.promptTokens += answer.prompt.count }
            choose(for: answer, by: model.logits.span)
        }
    }

    /// Returns how many answers took part.
    private func step() -> Int {
        makeRoomForSteps()
        steps.removeAll(keepingCapacity: true)
        let stepped = decoding.filter { !isResting($0) }
        guard !stepped.isEmpty else { return 0 }
        for answer in stepped { steps.append(SequenceStep(answer.nextToken, state: answer.state)) }
        model.step(&steps, stepsAside: true) { shouldStop(stepped[$0].job) }
        for (answer, step) in zip(stepped, steps) {
            if let slow = step.failure?.slowExpert {
                rest(answer, for: slow)
            } else if let failure = step.failure {
                end(answer, .failure(translate(failure, answer.job)))
            } else {
                forsake(answer)
                if answer.isCaughtUp { choose(for: answer, by: model.logits(of: step).span) }
            }
        }
        steps.removeAll(keepingCapacity: true)
        return stepped.count
    }

    /// Sees that every answer has room for a token. Where it doesn't, the youngest is put aside.
    private func makeRoomForSteps() {
        var index = 0
        while index < decoding.count {
            let state = decoding[index].state
            // Reserved at once, so that the next one doesn't count on it too.
            if makeRoom(for: 1, in: state), state.reserve(1) {
                index += 1
            } else {
                putYoungestAside()
            }
        }
    }

    private func putYoungestAside() {
        var youngest = decoding[decoding.count - 1]
        if let reading, reading.answer.number > youngest.number { youngest = reading.answer }
        for other in resting where other.answer.number > youngest.number { youngest = other.answer }
        takeOut(youngest)
        aside.append(youngest)
        aside.sort { $0.number < $1.number }
        isCrowded = true
    }

    private func choose(for answer: RunningAnswer, by logits: Span<Float>) {
        do {
            let completion = try answer.advance(by: logits)
            ledger.update { $0.totals.completionTokens += 1 }
            if let completion { end(answer, .success(completion)) } else { reportActivity() }
        } catch {
            end(answer, .failure(error))
        }
    }

    /// Tells the reader, who hears no more of it once there is text.
    private func reportProgress(_ answer: RunningAnswer, _ processed: Int) {
        if answer.chosen.isEmpty { answer.job.mailbox.post(processed: processed, total: answer.prompt.count) }
        reportActivity()
    }

    private func reportActivity() {
        let activity = activity
        ledger.update { $0.activity = activity }
    }

    // MARK: Going

    private func end(_ answer: RunningAnswer, _ outcome: Outcome) {
        takeOut(answer)
        isCrowded = false
        ended.append((answer, outcome))
    }

    /// Puts an answer's memory back, wherever it stands.
    private func takeOut(_ answer: RunningAnswer) {
        if reading?.answer === answer { reading = nil }
        resting.removeAll { $0.answer === answer }
        decoding.removeAll { $0 === answer }
        aside.removeAll { $0 === answer }
        forsake(answer)
        answer.putAside()
    }

    private func reasonToStop(_ job: Job) -> GenerationError { job.isCancelled ? .cancelled : .draining }

    private func translate(_ error: ModelError, _ job: Job) -> GenerationError {
        switch error.code {
        case .cancelled: reasonToStop(job)
        case .unreadableExpert, .unreadableTensor, .slowExpert: GenerationError(.modelInputOutput, error.description)
        case .contextExceeded: GenerationError(.contextLengthExceeded, error.description)
        case .invalidToken: GenerationError(.invalidRequest, error.description)
        case .insufficientMemory, .invalidOption, .unsupported, .outOfMemory, .cacheFull:
            GenerationError(.internal, error.description)
        }
    }
}

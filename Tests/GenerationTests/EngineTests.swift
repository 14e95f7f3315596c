import DemoSupport
import ExpertPaging
import Generation
import Glibc
import Testing

@Suite(.serialized, .ownThreads) struct EngineTests {
    @Test func requestsAreAnsweredInTheirOrderAndToldTheirPlace() async throws {
        let demo = try DemoEngine(endTokens: [], sequences: 1)
        let running = try demo.engine.submit(demo.endlessRequest())
        try await demo.wait { $0.activity != .idle }
        let streams = try (0..<3).map { _ in try demo.engine.submit(demo.request()) }
        #expect(demo.engine.status().waitingCount == 3)
        running.cancel()
        let answers = [
            try await Collected(streams[0]), try await Collected(streams[1]), try await Collected(streams[2]),
        ]
        #expect(Set(answers.map(\.text)).count == 1)
        let waits = answers.map { $0.completion?.timing.queued ?? .zero }
        #expect(waits.isSorted)
        #expect(answers[2].positions.allSatisfy { $0 <= 3 })
        #expect(demo.engine.status().totals.completed == 3)
    }

    @Test func aFullQueueRefusesWithATimeToComeBack() async throws {
        let demo = try DemoEngine.endless()
        let running = try demo.engine.submit(demo.endlessRequest())
        try await demo.wait { $0.activity != .idle }
        let waiting = try (0..<2).map { _ in try demo.engine.submit(demo.request()) }
        let error = #expect(throws: GenerationError.self) { try demo.engine.submit(demo.request()) }
        #expect(error?.code == .queueFull)
        #expect((error?.retryAfter ?? .zero) >= .seconds(1))
        #expect(demo.engine.status().totals.rejected == 1)
        // A place that is given up is free at once.
        waiting[0].cancel()
        let next = try demo.engine.submit(demo.request(maximumTokens: 2))
        running.cancel()
        #expect(await failure(of: waiting[0])?.code == .cancelled)
        #expect(try await Collected(next).tokenCount == 2)
        #expect(await failure(of: waiting[1]) == nil)
    }

    /// Who leaves the line moves the others up, who may be leaving, too.
    @Test func manyLeaveTheLineAtOnce() async throws {
        let demo = try DemoEngine(queueLimit: 32, endTokens: [], sequences: 1)
        let running = try demo.engine.submit(demo.endlessRequest())
        try await demo.wait { $0.activity != .idle }
        for _ in 0..<100 {
            let readers = try (0..<32).map { _ in
                let stream = try demo.engine.submit(demo.request())
                return Task { await failure(of: stream)?.code }
            }
            await Task.yield()
            await withTaskGroup { group in
                for reader in readers { group.addTask { reader.cancel() } }
            }
            // Everybody goes home, a few perhaps with an answer: the running one ends when its context is full.
            for reader in readers { #expect(await [.cancelled, nil].contains(reader.value)) }
        }
        #expect(demo.engine.status().waitingCount == 0)
        running.cancel()
        #expect(try await Collected(demo.engine.submit(demo.request(maximumTokens: 2))).tokenCount == 2)
    }

    enum Withdrawal: CaseIterable {
        case explicit
        case task
        case dropping
    }

    enum Phase: CaseIterable {
        case queue
        case prefill
        case decode
    }

    /// However an answer is given up, in whatever phase, the engine is free within 250 ms. Other tests load the
    /// machine, so the best of five attempts counts.
    @Test(arguments: Withdrawal.allCases, Phase.allCases)
    func whatNobodyWantsEndsSoon(how: Withdrawal, when: Phase) async throws {
        let demo = try DemoEngine.endless()
        var best = Duration.seconds(1000)
        for _ in 0..<5 where best >= .milliseconds(250) {
            best = min(best, try await timeToWithdraw(demo, how, when))
        }
        #expect(best < .milliseconds(250))
        // The next answer is as if nothing had been.
        let after = try await Collected(demo.engine.submit(demo.request())).text
        let alone = try DemoEngine.endless()
        #expect(try await Collected(alone.engine.submit(alone.request())).text == after)
    }

    private func timeToWithdraw(_ demo: DemoEngine, _ how: Withdrawal, _ when: Phase) async throws -> Duration {
        var blocker: GenerationStream?
        if when == .queue {
            blocker = try demo.engine.submit(demo.endlessRequest())
            try await demo.wait { $0.activity != .idle }
        }
        var stream: GenerationStream? = try demo.engine.submit(
            when == .prefill ? demo.longPrompt() : demo.endlessRequest())
        func isReached(_ status: EngineStatus) -> Bool {
            switch (when, status.activity) {
            case (.queue, _): status.waitingCount == 1
            case (.prefill, .prefill(let processed, _)): processed >= 64
            case (.decode, .decode(let count)): count >= 5
            default: false
            }
        }
        func isFree(_ status: EngineStatus) -> Bool {
            when == .queue ? status.waitingCount == 0 : status.activity == .idle
        }

        var reader: Task<GenerationError?, Never>?
        if how == .task, let stream {
            reader = Task(executorPreference: ThreadExecutor.shared) { await failure(of: stream) }
        }
        while !isReached(demo.engine.status()) { try await Task.sleep(for: .microseconds(200)) }
        let start = ContinuousClock.now
        switch how {
        case .explicit: stream?.cancel()
        case .task: reader?.cancel()
        case .dropping: break
        }
        if how == .explicit, let stream { #expect(await failure(of: stream)?.code == .cancelled) }
        if let reader { #expect(await reader.value?.code == .cancelled) }
        stream = nil
        while !isFree(demo.engine.status()) { try await Task.sleep(for: .microseconds(200)) }
        let duration = ContinuousClock.now - start
        if let blocker {
            blocker.cancel()
            try await demo.wait { $0.activity == .idle }
        }
        return duration
    }

    @Test func neighboursThatComeAndGoChangeNothing() async throws {
        let demo = try DemoEngine()
        let request = try demo.request(temperature: 1, maximumTokens: 60, seed: 11)
        let alone = try await Collected(demo.engine.submit(request)).text
        for round in 0..<6 {
            let before = try demo.engine.submit(demo.request("A neighbour", temperature: 1, seed: UInt64(round)))
            let stream = try demo.engine.submit(request)
            let after = try demo.engine.submit(demo.request("Another", temperature: 1))
            if round % 2 == 0 { before.cancel() }
            after.cancel()
            #expect(try await Collected(stream).text == alone)
        }
    }

    @Test func aReaderThatNeverReadsCostsNothingButItsText() async throws {
        let demo = try DemoEngine.endless()
        let stream = try demo.engine.submit(demo.request(temperature: 1, maximumTokens: 300, seed: 4))
        try await demo.wait { $0.totals.completed == 1 }
        let answer = try await Collected(stream)
        // One of each kind at most: everything was joined.
        #expect(answer.eventCount <= 4)
        #expect(answer.tokenCount == 300)
        let read = try await Collected(demo.engine.submit(demo.request(temperature: 1, maximumTokens: 300, seed: 4)))
        #expect(read.text == answer.text)
    }

    @Test func aStreamThatIsReadToItsEndIsOver() async throws {
        let demo = try DemoEngine()
        let stream = try demo.engine.submit(demo.request(maximumTokens: 3))
        var iterator = stream.makeAsyncIterator()
        var last: GenerationEvent?
        while let event = try await iterator.next() { last = event }
        guard case .finished = last else {
            Issue.record("the last event is \(String(describing: last))")
            return
        }
        #expect(try await iterator.next() == nil)
        stream.cancel()
        #expect(demo.engine.status().totals.cancelled == 0)
    }

    @Test func progressIsTold() async throws {
        let demo = try DemoEngine()
        let answer = try await Collected(demo.engine.submit(demo.longPrompt(640)))
        #expect(answer.progress.isSorted)
        #expect(answer.progress.last == 640)
        let status = demo.engine.status()
        #expect(status.totals.promptTokens == 640)
        #expect((status.prefillRate ?? 0) > 0)
        #expect(status.activity == .idle)
        #expect(status.paging.misses > 0)
    }

    // MARK: Damage

    @Test func aDamagedExpertFailsItsRequestAndNoOther() async throws {
        let file = try DemoCopy()
        let demo = try DemoEngine(path: file.path, expertSlots: 8)
        let request = try demo.request()
        let good = try await Collected(demo.engine.submit(request)).text
        try file.flipExperts()
        let fresh = try DemoEngine(path: file.path, expertSlots: 8)
        for _ in 0..<3 {
            let error = await failure(of: try fresh.engine.submit(request))
            #expect(error?.code == .modelInputOutput)
            #expect(error?.message.contains("experts.") == true)
        }
        #expect(fresh.engine.status().totals.failed == 3)
        try file.flipExperts()
        // A read that began before the mending may still come in.
        _ = await failure(of: try fresh.engine.submit(request))
        #expect(try await Collected(fresh.engine.submit(request)).text == good)
    }

    // MARK: Stopping

    @Test func drainingLetsARunningAnswerFinish() async throws {
        let demo = try DemoEngine()
        let stream = try demo.engine.submit(demo.request(maximumTokens: 20))
        try await demo.wait { $0.activity != .idle || $0.totals.completed == 1 }
        await demo.engine.drain(within: .seconds(30))
        #expect(try await Collected(stream).completion != nil)
        let error = #expect(throws: GenerationError.self) { try demo.engine.submit(demo.request()) }
        #expect(error?.code == .draining)
        #expect(demo.engine.status().isDraining)
    }

    @Test func drainingEndsWhatTakesTooLong() async throws {
        let demo = try DemoEngine.endless()
        let running = try demo.engine.submit(demo.endlessRequest())
        try await demo.wait { $0.activity != .idle }
        let waiting = try demo.engine.submit(demo.request())
        let start = ContinuousClock.now
        let drained = Task(executorPreference: ThreadExecutor.shared) {
            await demo.engine.drain(within: .milliseconds(200))
        }
        #expect(await failure(of: waiting)?.code == .draining)
        #expect(ContinuousClock.now - start < .milliseconds(190))
        #expect(await failure(of: running)?.code == .draining)
        await drained.value
        let duration = ContinuousClock.now - start
        #expect(duration >= .milliseconds(200) && duration < .seconds(2))
    }

    @Test func anIdleEngineDrainsAtOnce() async throws {
        let demo = try DemoEngine()
        let start = ContinuousClock.now
        await demo.engine.drain(within: .seconds(60))
        await demo.engine.drain(within: .seconds(60))
        #expect(ContinuousClock.now - start < .seconds(5))
    }

    @Test func lettingGoOfTheEngineEndsItsAnswers() async throws {
        var demo: DemoEngine? = try DemoEngine.endless()
        let stream = try #require(try demo.map { try $0.engine.submit($0.endlessRequest()) })
        let waiting = try #require(try demo.map { try $0.engine.submit($0.request()) })
        demo = nil
        #expect(await failure(of: stream)?.code == .draining)
        #expect(await failure(of: waiting)?.code == .draining)
    }

    // MARK: The watchdog's view

    @Test func anEngineIsAliveWhenIdleOrMoving() async throws {
        let demo = try DemoEngine.endless()
        #expect(!demo.engine.heartbeat.isBusy)
        #expect(demo.engine.heartbeat.isAlive(within: .zero))
        let stream = try demo.engine.submit(demo.endlessRequest())
        try await demo.wait { $0.activity != .idle }
        for _ in 0..<20 {
            let heartbeat = demo.engine.heartbeat
            #expect(heartbeat.isBusy)
            #expect(heartbeat.isAlive(within: .seconds(2)))
            try await Task.sleep(for: .milliseconds(5))
        }
        stream.cancel()
        try await demo.wait { $0.activity == .idle }
        #expect(Heartbeat(isBusy: true, sinceLastBeat: .seconds(3)).isAlive(within: .seconds(2)) == false)
    }
}

extension Array where Element: Comparable {
    fileprivate var isSorted: Bool { zip(self, dropFirst()).allSatisfy { $0 <= $1 } }
}

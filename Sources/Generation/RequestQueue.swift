import ExpertPaging

/// The bounded line in front of the engine: first come, first served.
final class RequestQueue: @unchecked Sendable {
    // Sendable: every variable is touched only while `monitor` is locked.
    let limit: Int
    /// How many run at a time at most.
    private let concurrency: Int
    private let monitor = Monitor()
    private let arrived = Monitor.Condition()
    private var waiting: [Job] = []
    private var runningCount = 0
    private var isClosed = false

    init(limit: Int, concurrency: Int) {
        self.limit = limit
        self.concurrency = concurrency
    }

    enum Admission {
        case admitted
        case full
        case closed
    }

    /// Puts a job in line. As many more than `limit` may stand there as the engine can begin with.
    func append(_ job: Job) -> Admission {
        var reader: CheckedContinuation<Void, Never>?
        defer { reader?.resume() }
        monitor.lock()
        defer { monitor.unlock() }
        guard !isClosed else { return .closed }
        guard waiting.count < limit + concurrency - runningCount else { return .full }
        waiting.append(job)
        reader = notePosition(waiting.count - 1)
        arrived.signal()
        return .admitted
    }

    /// The engine's: waits until there is a job. False when the queue is closed.
    func waitForJob() -> Bool {
        monitor.lock()
        defer { monitor.unlock() }
        while waiting.isEmpty {
            if isClosed { return false }
            arrived.wait(in: monitor)
        }
        return true
    }

    /// Who comes next.
    var first: Job? {
        monitor.lock()
        defer { monitor.unlock() }
        return waiting.first
    }

    /// Takes a job out of the line to run; false if it isn't there any more.
    func start(_ job: Job) -> Bool { take(job, isToRun: true) }

    /// Takes a job out of the line; false if it isn't there any more.
    func remove(_ job: Job) -> Bool { take(job, isToRun: false) }

    /// A job that was started is over.
    func end() {
        monitor.lock()
        runningCount -= 1
        monitor.unlock()
    }

    private func take(_ job: Job, isToRun: Bool) -> Bool {
        // Readers go on when the line isn't locked any more: one of them may be cancelled just now, and is waiting for it.
        var readers: [CheckedContinuation<Void, Never>] = []
        defer { for reader in readers { reader.resume() } }
        monitor.lock()
        defer { monitor.unlock() }
        guard let place = waiting.firstIndex(where: { $0 === job }) else { return false }
        waiting.remove(at: place)
        if isToRun { runningCount += 1 }
        readers = waiting.indices.compactMap(notePosition)
        return true
    }

    /// Lets nobody in any more, and returns those who were waiting.
    func close() -> [Job] {
        monitor.lock()
        defer { monitor.unlock() }
        isClosed = true
        arrived.signal()
        defer { waiting = [] }
        return waiting
    }

    var lengths: (waiting: Int, running: Int, isClosed: Bool) {
        monitor.lock()
        defer { monitor.unlock() }
        return (waiting.count, runningCount, isClosed)
    }

    var isIdle: Bool {
        let lengths = lengths
        return lengths.waiting == 0 && lengths.running == 0
    }

    /// Those who run count as one: the next one begins when any of them ends.
    private func notePosition(_ place: Int) -> CheckedContinuation<Void, Never>? {
        waiting[place].mailbox.note(position: place + (runningCount > 0 ? 1 : 0))
    }
}

import ExpertPaging

/// The bounded line in front of the engine: first come, first served.
final class RequestQueue: @unchecked Sendable {
    // Sendable: every variable is touched only while `monitor` is locked.
    let limit: Int
    private let monitor = Monitor()
    private let arrived = Monitor.Condition()
    private var waiting: [Job] = []
    private var isRunning = false
    private var isClosed = false

    init(limit: Int) { self.limit = limit }

    enum Admission {
        case admitted
        case full
        case closed
    }

    /// Puts a job in line. An idle engine takes one more than `limit`, because it begins with it at once.
    func append(_ job: Job) -> Admission {
        monitor.lock()
        defer { monitor.unlock() }
        guard !isClosed else { return .closed }
        guard waiting.count < limit + (isRunning ? 0 : 1) else { return .full }
        job.mailbox.post(position: waiting.count + (isRunning ? 1 : 0))
        waiting.append(job)
        arrived.signal()
        return .admitted
    }

    /// The engine's next job, once there is one; nil when the queue is closed. The one before is over by then.
    func take() -> Job? {
        monitor.lock()
        defer { monitor.unlock() }
        isRunning = false
        while waiting.isEmpty {
            if isClosed { return nil }
            arrived.wait(in: monitor)
        }
        isRunning = true
        let job = waiting.removeFirst()
        postPositions()
        return job
    }

    /// Takes a job out of the line; false if it isn't there any more.
    func remove(_ job: Job) -> Bool {
        monitor.lock()
        defer { monitor.unlock() }
        guard let place = waiting.firstIndex(where: { $0 === job }) else { return false }
        waiting.remove(at: place)
        postPositions()
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

    var lengths: (waiting: Int, isRunning: Bool, isClosed: Bool) {
        monitor.lock()
        defer { monitor.unlock() }
        return (waiting.count, isRunning, isClosed)
    }

    var isIdle: Bool {
        let lengths = lengths
        return lengths.waiting == 0 && !lengths.isRunning
    }

    private func postPositions() {
        for (place, job) in waiting.enumerated() { job.mailbox.post(position: place + 1) }
    }
}

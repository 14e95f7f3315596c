import Container
import ExpertPaging
import Generation
import Logging
import NIOPosix
import Synchronization

/// Looks after the model's file and the storage below it, and says what is wrong with them while it is.
final class ModelWatch: Sendable {
    /// How often the file is looked at.
    static let interval = Duration.seconds(2)

    private let container: ContainerReader
    private let experts: ExpertStore
    private let memory: MemoryWatch
    private let logger: Logger
    private let condition = Mutex(FileCondition.same)
    private let progress = Mutex(Progress())

    private struct Progress {
        var last = ContinuousClock.now
        var isLooking = false
        var wasSlow = false
        var wasUnreadable = false
    }

    init(model: ServedModel, memory: MemoryWatch, logger: Logger) {
        container = model.container
        experts = model.engine.experts
        self.memory = memory
        self.logger = logger
    }

    /// What isn't as it should be, for people.
    var conditions: [String] {
        [fileProblem, slowness, unreadable, shortage].compactMap(\.self)
    }

    var isFileSound: Bool { condition.withLock { $0 } == .same }

    private var fileProblem: String? { condition.withLock { $0 }.problem }

    private var slowness: String? {
        experts.slowReads.map { reads in
            let others = reads.count > 1 ? ", one of \(reads.count) slow reads" : ""
            return "storage is slow: \(reads.expert) is being read for \(Int(reads.duration / .seconds(1))) s\(others)"
        }
    }

    private var unreadable: String? {
        experts.unreadable.map { failed in
            (failed.count == 1 ? "an expert" : "\(failed.count) experts")
                + " could not be read when asked for: \(failed.example)"
        }
    }

    private var shortage: String? {
        let (usable, planned) = (experts.usableSlotCount, experts.slotCount)
        return usable < planned ? "memory is short: \(usable) of \(planned) expert slots in use" : nil
    }

    /// Looks, on another thread, if that wasn't done for a while. It may wait there for storage that hangs.
    func lookIfDue() {
        let isDue = progress.withLock { progress in
            guard !progress.isLooking, progress.last.duration(to: .now) >= Self.interval else { return false }
            progress.isLooking = true
            progress.last = .now
            return true
        }
        guard isDue else { return }
        NIOThreadPool.singleton.submit { [self] state in
            if state == .active { look() }
            progress.withLock { $0.isLooking = false }
        }
    }

    private func look() {
        let now = container.look()
        let before = condition.withLock { state in
            defer { state = now }
            return state
        }
        if let problem = now.problem, now != before {
            logger.error("\(problem)")
        } else if now == .same, before != .same {
            logger.notice("the model's file is in its place again")
        }
        var (wasSlow, wasUnreadable) = progress.withLock { ($0.wasSlow, $0.wasUnreadable) }
        report(slowness, &wasSlow, end: "storage reads at its speed again")
        report(unreadable, &wasUnreadable, end: "the experts that could not be read can be read again")
        progress.withLock { ($0.wasSlow, $0.wasUnreadable) = (wasSlow, wasUnreadable) }
    }

    private func report(_ trouble: String?, _ wasThere: inout Bool, end: String) {
        if let trouble, !wasThere { logger.warning("\(trouble)") }
        if trouble == nil, wasThere { logger.notice("\(end)") }
        wasThere = trouble != nil
    }
}

import Container
import ExpertPaging
import Generation
import Logging
import NIOPosix
import Synchronization

/// Looks after the model's file and the storage below it, and says what is wrong with them while it is.
final class ModelWatch: Sendable {
    static let interval = Duration.seconds(2)

    private let container: ContainerReader
    private let experts: ExpertStore
    private let memory: MemoryWatch
    private let logger: Logger
    private let condition = Mutex(FileCondition.same)

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

    /// Runs until it is cancelled.
    func run() async throws {
        var (wasSlow, wasUnreadable) = (false, false)
        while true {
            try await Task.sleep(for: Self.interval)
            // It may wait for storage that hangs.
            let now = try await NIOThreadPool.singleton.runIfActive { [container] in container.look() }
            let before = condition.withLock { state in
                defer { state = now }
                return state
            }
            if let problem = now.problem, now != before {
                logger.error("\(problem)")
            } else if now == .same, before != .same {
                logger.notice("the model's file is in its place again")
            }
            report(slowness, &wasSlow, end: "storage reads at its speed again")
            report(unreadable, &wasUnreadable, end: "the experts that could not be read can be read again")
        }
    }

    private func report(_ trouble: String?, _ wasThere: inout Bool, end: String) {
        if let trouble, !wasThere { logger.warning("\(trouble)") }
        if trouble == nil, wasThere { logger.notice("\(end)") }
        wasThere = trouble != nil
    }
}

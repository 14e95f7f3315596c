import API
import ExpertPaging
import Glibc
import Logging
import Model
import Synchronization

/// Lets the expert arena follow the memory that the machine has left, on a thread of its own: giving memory back takes
/// time, and nobody who computes should wait for it.
final class MemoryWatch: Sendable {
    /// How often the limits are looked at.
    static let interval = Duration.seconds(2)
    /// …and while slots are still to be given back that were in use.
    private static let pendingInterval = Duration.milliseconds(50)

    private struct Record {
        var reportCount = 0
        var shrinkCount = 0
        var growthCount = 0
        var available: AvailableMemory?
    }

    private let experts: ExpertStore
    private let kept: KeptWeights?
    private let logger: Logger
    private let signal: MemoryPressureSignal
    private let record = Mutex(Record())
    private let isStopping = Atomic(false)

    init(experts: ExpertStore, kept: KeptWeights?, logger: Logger) {
        self.experts = experts
        self.kept = kept
        self.logger = logger
        signal = MemoryPressureSignal { name in getenv(name).map { String(cString: $0) } }
    }

    /// Watches until it is cancelled. Does nothing for a model without experts: there is nothing to give back.
    func run() async throws {
        guard experts.shape.expertCount > 0 else { return try await Self.sleepForever() }
        for problem in signal.problems { logger.warning("\(problem)") }
        if signal.names.isEmpty {
            logger.notice("nothing reports when memory is short; only limits are looked at")
        } else {
            logger.info("memory: \(signal.names.joined(separator: ", ")) reports when it is short")
        }
        let thread = try WorkerThread(name: "moed-memory", stackByteCount: 512 << 10) { [self] in watch() }
        do { try await Self.sleepForever() } catch {}
        isStopping.store(true, ordering: .relaxed)
        signal.wake()
        thread.join()
    }

    private static func sleepForever() async throws {
        while true { try await Task.sleep(for: .seconds(3600)) }
    }

    var status: Status.Pressure {
        let record = record.withLock { $0 }
        return Status.Pressure(
            usableSlotCount: experts.usableSlotCount, usableByteCount: experts.usableByteCounts.all,
            reportCount: record.reportCount, shrinkCount: record.shrinkCount, growthCount: record.growthCount,
            evictionCount: Int(clamping: experts.shrinkEvictionCount), leftByteCount: record.available?.byteCount,
            limitByteCount: record.available?.limitByteCount, limitSource: record.available?.source,
            watched: signal.names)
    }

    private func watch() {
        var governor = ArenaGovernor(experts)
        var isPending = false
        var next = ContinuousClock.now
        while !isStopping.load(ordering: .relaxed) {
            let now = ContinuousClock.now
            let report = signal.wait(
                atMost: isPending ? Self.pendingInterval : max(.zero, min(now.duration(to: next), Self.interval)))
            for name in report.lost { logger.warning("\(name) reports no more when memory is short") }
            if isPending { isPending = !experts.use(slots: governor.slotCount) }
            // A trigger that was pulled ten times a second is heard ten times, and looked after once.
            guard !report.reporters.isEmpty || ContinuousClock.now >= next else { continue }
            next = .now + Self.interval

            kept?.killCount = AvailableMemory.killCount()
            let available = AvailableMemory.current(kept: kept?.residentByteCount ?? 0)
            let isPressed = report.isOwn || (!report.reporters.isEmpty && Self.isMachineShort)
            record.withLock {
                $0.available = available
                if !report.reporters.isEmpty { $0.reportCount += 1 }
            }
            let step = governor.respond(
                to: .init(
                    now: .now, isPressed: isPressed, available: available,
                    unoccupiedByteCount: experts.usableByteCounts.unoccupied))
            guard let step else {
                if !report.reporters.isEmpty { pauseAfterReport() }
                continue
            }
            isPending = !experts.use(slots: governor.slotCount)
            tell(step, governor, report)
            if !report.reporters.isEmpty { pauseAfterReport() }
        }
    }

    /// Processes stall for memory on a machine that has plenty, too: those at the limit of a control group. They have
    /// nothing from what is given back here.
    private static var isMachineShort: Bool {
        AvailableMemory.machine().map { $0.byteCount < $0.limitByteCount / 4 } ?? true
    }

    /// A writer that floods a FIFO must not keep the thread busy.
    private func pauseAfterReport() { usleep(20_000) }

    private func tell(_ step: ArenaGovernor.Step, _ governor: ArenaGovernor, _ report: MemoryPressureSignal.Report) {
        let planned = governor.plannedSlotCount
        switch step {
        case .shrink(let count, let cause):
            record.withLock { $0.shrinkCount += 1 }
            let reason =
                switch cause {
                case .pressure: "\(report.reporters.joined(separator: ", ")) reports that memory is short"
                case .limit(let available):
                    "\(available.source) leaves \(MemorySize(byteCount: available.byteCount)) of "
                        + "\(MemorySize(byteCount: available.limitByteCount))"
                }
            logger.notice("\(reason): \(count) of \(planned) expert slots stay in use")
            if count == governor.leastSlotCount {
                logger.warning(
                    "the expert arena is as small as it can be; if memory stays short, lower --memory or --context")
            }
        case .grow(let count):
            record.withLock { $0.growthCount += 1 }
            logger.log(
                level: count == planned ? .notice : .debug, "memory again: \(count) of \(planned) expert slots in use")
        }
    }
}

internal import CKernels
import Synchronization

/// What the threads of a `ThreadPool` share: the current job and who takes part in it.
///
/// A job is opened by advancing the gate and closed when the caller finds no item left. Workers enter an open gate by
/// counting themselves in; the caller then waits for those who are inside, and for nobody else.
final class Crew: @unchecked Sendable {
    // @unchecked: `body` and `count` are written while the gate is closed and nobody is inside, and read only by those
    // who are inside.

    /// Bits 0…15: threads inside. Bit 16: open. Bit 17: dismissed. The rest counts the jobs.
    private let gate = Atomic<UInt64>(0)
    // The spinning threads read the gate's cache line, the busy ones write that of the items.
    private let gateLine = InlineArray<16, UInt64>(repeating: 0)
    private let nextItem = Atomic<Int>(0)
    private let itemLine = InlineArray<16, UInt64>(repeating: 0)
    private let isBusy = Atomic<Bool>(false)
    private let workers = Parking()
    private let caller = Parking()
    private var body: BorrowedClosure?
    private var count = 0

    private static let inside: UInt64 = 0xffff
    private static let open: UInt64 = 1 << 16
    private static let dismissed: UInt64 = 1 << 17
    private static let job: UInt64 = 1 << 18

    /// Pauses before a waiting thread sleeps: 30 to 100 microseconds on today's processors.
    private static let patience = 2000

    func perform(_ count: Int, _ body: (Int) -> Void) {
        precondition(!isBusy.exchange(true, ordering: .acquiring), "a pool runs one job at a time")
        self.count = count
        BorrowedClosure.lend(body, to: self)
        isBusy.store(false, ordering: .releasing)
    }

    /// The job of `perform`, once its closure is in hand.
    func perform(_ body: BorrowedClosure) {
        self.body = body
        nextItem.store(0, ordering: .relaxed)
        let before = gate.load(ordering: .relaxed)
        gate.store((before + Self.job) | Self.open, ordering: .sequentiallyConsistent)
        workers.wake()
        takeItems(count, body)
        gate.bitwiseAnd(~Self.open, ordering: .sequentiallyConsistent)
        waitForWorkers()
        self.body = nil
    }

    func dismiss() {
        gate.bitwiseOr(Self.dismissed, ordering: .sequentiallyConsistent)
        workers.wake()
    }

    /// A worker's life.
    func work() {
        var lastJob: UInt64 = 0
        while let job = enter(after: lastJob) {
            lastJob = job
            if let body { takeItems(count, body) }
            let left = gate.subtract(1, ordering: .sequentiallyConsistent).newValue
            if left & (Self.inside | Self.open) == 0 { caller.wake() }
        }
    }

    private func takeItems(_ count: Int, _ body: BorrowedClosure) {
        while true {
            let item = nextItem.wrappingAdd(1, ordering: .relaxed).oldValue
            if item >= count { return }
            body(item)
        }
    }

    private func waitForWorkers() {
        for _ in 0..<Self.patience {
            if gate.load(ordering: .acquiring) & Self.inside == 0 { return }
            moed_spin_pause()
        }
        caller.sleep { gate.load(ordering: .sequentiallyConsistent) & Self.inside != 0 }
    }

    /// Waits for a job other than the last one and enters it; nil when the crew is dismissed.
    private func enter(after lastJob: UInt64) -> UInt64? {
        var patience = Self.patience
        while true {
            let seen = gate.load(ordering: .relaxed)
            if seen & Self.dismissed != 0 { return nil }
            let job = seen / Self.job
            if seen & Self.open != 0, job != lastJob {
                if gate.compareExchange(expected: seen, desired: seen + 1, ordering: .acquiring).exchanged {
                    return job
                }
            } else if patience > 0 {
                patience -= 1
                moed_spin_pause()
            } else {
                workers.sleep { nothingToDo(after: lastJob) }
                patience = Self.patience
            }
        }
    }

    private func nothingToDo(after lastJob: UInt64) -> Bool {
        let seen = gate.load(ordering: .sequentiallyConsistent)
        return seen & Self.dismissed == 0 && (seen & Self.open == 0 || seen / Self.job == lastJob)
    }
}

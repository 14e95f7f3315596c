import ExpertPaging
import Testing

/// Runs every test of a suite on threads of its own. The cooperative pool has one thread a core, and other tests
/// compute on them for seconds; what is measured here must not wait for those.
struct OwnThreads: SuiteTrait, TestTrait, TestScoping {
    let isRecursive = true

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        guard testCase != nil else { return try await function() }
        try await withTaskExecutorPreference(ThreadExecutor.shared) { try await function() }
    }
}

extension Trait where Self == OwnThreads {
    static var ownThreads: Self { OwnThreads() }
}

/// Three threads that take jobs from one queue, for as long as the process lives.
final class ThreadExecutor: TaskExecutor, @unchecked Sendable {
    // Sendable: `jobs` is touched only while `monitor` is locked.
    static let shared = ThreadExecutor()

    private let monitor = Monitor()
    private let arrived = Monitor.Condition()
    private var jobs: [UnownedJob] = []

    private init() {
        for index in 0..<3 {
            do {
                _ = try WorkerThread(name: "test-\(index)", stackByteCount: 1 << 20) { [self] in run() }
            } catch {
                Issue.record(error)
            }
        }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        monitor.lock()
        jobs.append(job)
        arrived.signal()
        monitor.unlock()
    }

    private func run() {
        while true {
            monitor.lock()
            while jobs.isEmpty { arrived.wait(in: monitor) }
            let job = jobs.removeFirst()
            monitor.unlock()
            job.runSynchronously(on: asUnownedTaskExecutor())
        }
    }
}

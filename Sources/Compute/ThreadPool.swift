import Glibc

/// A fixed set of threads that share out the items of one job at a time.
///
/// The caller takes part. Workers that wait spin for a moment (tens of microseconds) and then sleep, so that an idle
/// process uses no processor time. A worker that doesn't wake in time for a small job isn't waited for: the others
/// have done its share. Even so a job costs about a microsecond, and waking a sleeper several; do tiny work without
/// the pool.
///
/// Which thread runs which item is left to chance, so an item's result must not depend on it.
package final class ThreadPool: Sendable {
    /// Threads that share a job, the caller included.
    package let threadCount: Int
    private let crew: Crew
    private let threads: [pthread_t]

    /// - Parameter threadCount: at least 1; fewer are made where the machine refuses more.
    package init(threadCount: Int) {
        precondition(threadCount >= 1)
        crew = Crew()
        threads = Self.start(threadCount - 1, crew)
        self.threadCount = threads.count + 1
    }

    deinit {
        crew.dismiss()
        for thread in threads { pthread_join(thread, nil) }
    }

    /// Calls `body` once for every number of `0 ..< count`, on any of the threads, and returns when all are done.
    ///
    /// One caller at a time, and not from inside a `body`: anything else traps.
    package func forEach(_ count: Int, _ body: (Int) -> Void) {
        if count <= 1 || threads.isEmpty {
            for item in 0..<max(count, 0) { body(item) }
        } else {
            crew.perform(count, body)
        }
    }

    private static let stackByteCount = 2 << 20

    private static func start(_ count: Int, _ crew: Crew) -> [pthread_t] {
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        defer { unsafe pthread_attr_destroy(&attributes) }
        unsafe pthread_attr_setstacksize(&attributes, stackByteCount)

        // Signals go to the threads that expect them.
        var all = sigset_t()
        var previous = sigset_t()
        unsafe sigfillset(&all)
        unsafe pthread_sigmask(SIG_SETMASK, &all, &previous)
        defer { unsafe pthread_sigmask(SIG_SETMASK, &previous, nil) }

        var threads: [pthread_t] = []
        for _ in 0..<count {
            var thread = pthread_t()
            let context = unsafe Unmanaged.passRetained(crew)
            let result = unsafe pthread_create(
                &thread, &attributes,
                { context in
                    guard let context = unsafe context else { return nil }
                    ThreadPool.nameThisThread()
                    unsafe Unmanaged<Crew>.fromOpaque(context).takeRetainedValue().work()
                    return nil
                }, context.toOpaque())
            guard result == 0 else {
                unsafe context.release()
                break
            }
            threads.append(thread)
        }
        return threads
    }

    /// The name that `top -H` shows. `pthread_setname_np` isn't visible from Swift.
    private static func nameThisThread() {
        let descriptor = unsafe open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        var name: StaticString { "moed-compute" }
        _ = unsafe write(descriptor, name.utf8Start, name.utf8CodeUnitCount)
        close(descriptor)
    }
}

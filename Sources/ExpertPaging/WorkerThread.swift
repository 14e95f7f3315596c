import Glibc

/// A thread of the operating system for work that blocks or computes for long, which the cooperative pool must not do.
///
/// It takes no signals: those are the main thread's.
package final class WorkerThread: Sendable {
    private let thread: pthread_t

    /// Starts `body`. `name` is what `top -H` shows, at most 15 bytes of it.
    package init(name: String, stackByteCount: Int, body: @escaping @Sendable () -> Void) throws(ThreadFailure) {
        let (thread, code) = Self.start(Body(name: name, run: body), stackByteCount: stackByteCount)
        guard code == 0 else { throw ThreadFailure(code: code) }
        self.thread = thread
    }

    /// Waits for the end of the body. To be called exactly once.
    package func join() { pthread_join(thread, nil) }

    /// `pthread_create`; the code is its error number.
    private static func start(_ body: Body, stackByteCount: Int) -> (pthread_t, code: Int32) {
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        unsafe pthread_attr_setstacksize(&attributes, stackByteCount)
        // The new thread inherits the mask.
        var all = sigset_t()
        var earlier = sigset_t()
        unsafe sigfillset(&all)
        unsafe pthread_sigmask(SIG_SETMASK, &all, &earlier)

        let box = unsafe Unmanaged.passRetained(body)
        var thread = pthread_t()
        let code = unsafe pthread_create(&thread, &attributes, { unsafe WorkerThread.enter($0) }, box.toOpaque())
        if code != 0 { unsafe box.release() }

        unsafe pthread_sigmask(SIG_SETMASK, &earlier, nil)
        unsafe pthread_attr_destroy(&attributes)
        return (thread, code)
    }

    private static func enter(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        guard let argument = unsafe argument else { return nil }
        let body = unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
        name(body.name)
        body.run()
        return nil
    }

    /// `pthread_setname_np`, which the headers hide from Swift.
    private static func name(_ name: String) {
        let file = unsafe open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        _ = unsafe write(file, name, min(15, name.utf8.count))
        close(file)
    }

    private final class Body: Sendable {
        let name: String
        let run: @Sendable () -> Void

        init(name: String, run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }
}

package struct ThreadFailure: Error, CustomStringConvertible {
    package let code: Int32

    package var description: String { "a thread could not be started: \(unsafe String(cString: strerror(code)))" }
}

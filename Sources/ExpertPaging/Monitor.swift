import Glibc

/// A mutual exclusion lock (`pthread_mutex_t`) for state that threads wait on. Not recursive.
@safe package struct Monitor: ~Copyable, @unchecked Sendable {
    // Sendable: the pointer never changes, and what it points to is made for use by many threads.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    package init() {
        unsafe mutex = .allocate(capacity: 1)
        unsafe pthread_mutex_init(mutex, nil)
    }

    deinit {
        unsafe pthread_mutex_destroy(mutex)
        unsafe mutex.deallocate()
    }

    package func lock() { unsafe pthread_mutex_lock(mutex) }
    package func unlock() { unsafe pthread_mutex_unlock(mutex) }

    /// Something that threads holding a `Monitor` wait for (`pthread_cond_t` on the monotonic clock).
    @safe package struct Condition: ~Copyable, @unchecked Sendable {
        private let condition: UnsafeMutablePointer<pthread_cond_t>

        package init() {
            unsafe condition = .allocate(capacity: 1)
            var attributes = pthread_condattr_t()
            unsafe pthread_condattr_init(&attributes)
            unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
            unsafe pthread_cond_init(condition, &attributes)
            unsafe pthread_condattr_destroy(&attributes)
        }

        deinit {
            unsafe pthread_cond_destroy(condition)
            unsafe condition.deallocate()
        }

        package func signal() { unsafe pthread_cond_signal(condition) }
        package func broadcast() { unsafe pthread_cond_broadcast(condition) }

        /// Lets go of the locked monitor until somebody signals. May return without a reason.
        package func wait(in monitor: borrowing Monitor) {
            unsafe pthread_cond_wait(condition, monitor.mutex)
        }

        /// As `wait(in:)`, for at most `milliseconds`. False when they have passed.
        @discardableResult
        package func wait(in monitor: borrowing Monitor, milliseconds: Int) -> Bool {
            var deadline = timespec()
            unsafe clock_gettime(CLOCK_MONOTONIC, &deadline)
            let nanoseconds = deadline.tv_nsec + milliseconds * 1_000_000
            deadline.tv_sec += nanoseconds / 1_000_000_000
            deadline.tv_nsec = nanoseconds % 1_000_000_000
            return unsafe pthread_cond_timedwait(condition, monitor.mutex, &deadline) == 0
        }
    }
}

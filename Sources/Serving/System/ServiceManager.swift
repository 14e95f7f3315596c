import CSystemd

/// Tells systemd how the daemon is (sd_notify). Does nothing when systemd didn't start it.
package struct ServiceManager: Sendable {
    package init() {}

    /// How often systemd wants to hear that the daemon lives (sd_watchdog_enabled); nil when it doesn't.
    package var watchdogTimeout: Duration? {
        var microseconds: UInt64 = 0
        guard sd_watchdog_enabled(0, &microseconds) > 0, microseconds > 0 else { return nil }
        return .microseconds(Int64(clamping: microseconds))
    }

    /// The daemon accepts connections.
    package func ready(_ status: String) { notify("READY=1", "STATUS=\(status)") }

    /// One line for `systemctl status`.
    package func status(_ text: String) { notify("STATUS=\(text)") }

    package func stopping() { notify("STOPPING=1", "STATUS=stopping: running answers may finish") }

    package func ping() { notify("WATCHDOG=1") }

    /// Loading goes on: the start isn't to be given up before this much more time.
    package func extendTimeout(by time: Duration) {
        notify("EXTEND_TIMEOUT_USEC=\(time.components.seconds * 1_000_000)")
    }

    private func notify(_ lines: String...) {
        // A line break would begin another assignment.
        let text = lines.map { $0.replacing("\n", with: " ") }.joined(separator: "\n")
        sd_notify(0, text)
    }
}

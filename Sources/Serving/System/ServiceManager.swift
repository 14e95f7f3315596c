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

    /// Gives systemd a descriptor to hold, which a restarted daemon inherits (sd_pid_notify_with_fds). systemd closes it
    /// where the unit has no store for it.
    func store(_ descriptor: Int32, name: String) {
        withUnsafePointer(to: descriptor) {
            _ = sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0", $0, 1)
        }
    }

    /// Has systemd let go of the descriptors of a name.
    func unstore(name: String) { notify("FDSTOREREMOVE=1", "FDNAME=\(name)") }

    private func notify(_ lines: String...) {
        // A line break would begin another assignment.
        let text = lines.map { $0.replacing("\n", with: " ") }.joined(separator: "\n")
        sd_notify(0, text)
    }
}

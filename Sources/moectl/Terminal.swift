import Glibc

/// What the three standard streams can show.
package struct Terminal: Sendable {
    package let inputIsInteractive: Bool
    package let outputIsInteractive: Bool
    package let errorIsInteractive: Bool
    /// Whether escape sequences are wanted: for colours, and for the line editor.
    package let allowsEscapes: Bool

    package static func current() -> Terminal {
        let term = environmentValue("TERM") ?? "dumb"
        return Terminal(
            inputIsInteractive: isatty(STDIN_FILENO) == 1, outputIsInteractive: isatty(STDOUT_FILENO) == 1,
            errorIsInteractive: isatty(STDERR_FILENO) == 1,
            allowsEscapes: (environmentValue("NO_COLOR") ?? "").isEmpty && term != "dumb")
    }

    package init(
        inputIsInteractive: Bool, outputIsInteractive: Bool, errorIsInteractive: Bool, allowsEscapes: Bool
    ) {
        self.inputIsInteractive = inputIsInteractive
        self.outputIsInteractive = outputIsInteractive
        self.errorIsInteractive = errorIsInteractive
        self.allowsEscapes = allowsEscapes
    }

    /// Columns of the terminal on standard output, 80 where it doesn't say.
    package static var columnCount: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}

/// nil where the variable isn't set.
package func environmentValue(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}

/// A standard stream to write to, whole and at once.
package enum OutputStream: Sendable {
    case output
    case error

    /// Writes everything; throws `brokenPipe` when nobody reads any more.
    package func write(_ text: String) throws(ClientError) {
        try write(Array(text.utf8))
    }

    package func write(_ bytes: [UInt8]) throws(ClientError) {
        let descriptor = self == .output ? STDOUT_FILENO : STDERR_FILENO
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written >= 0 {
                rest = rest.dropFirst(written)
            } else if errno == EAGAIN {
                var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&waiting, 1, -1)
            } else if errno == EPIPE {
                throw ClientError(.brokenPipe, "nobody reads the output any more")
            } else if errno != EINTR {
                throw ClientError(.inputOutput, "writing the output failed: \(String(cString: strerror(errno)))")
            }
        }
    }
}

import Glibc

/// What standard error is, and how to write to it.
enum Terminal {
    /// Whether a line may be drawn over. Nothing is coloured, so `NO_COLOR` has nothing to say about it.
    static var canRedraw: Bool {
        isatty(STDERR_FILENO) == 1 && environment("TERM") != "dumb"
    }

    static func complain(_ line: String) { write("moe-quantize: \(line)\n") }

    static func write(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            // Nobody is left to tell that nobody listens.
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }

    private static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }
}

import CSystemd
import Glibc
package import Logging

/// Writes log entries to the journal with their fields (sd_journal_sendv), so that `journalctl MOED_REQUEST=…` finds
/// what belongs to one request.
package struct JournalLogHandler: LogHandler {
    package var logLevel = Logger.Level.info
    package var metadata = Logger.Metadata()
    package var metadataProvider: Logger.MetadataProvider?

    package init() {}

    /// Whether standard error is the journal: only then does it carry fields. `JOURNAL_STREAM` names the stream's
    /// device and inode, which a redirected standard error doesn't have.
    package static func isConnected(journalStream: String?) -> Bool {
        guard let parts = journalStream?.split(separator: ":"), parts.count == 2, let device = UInt64(parts[0]),
            let inode = UInt64(parts[1])
        else { return false }
        var status = stat()
        return fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        let fields = LogText.fields(metadata, metadataProvider?.get(), event.metadata)
        var entries = [
            "MESSAGE=" + LogText.line(event.message, fields), "PRIORITY=\(event.level.syslogPriority)",
            "SYSLOG_IDENTIFIER=moed", "CODE_FILE=\(event.file)", "CODE_LINE=\(event.line)",
            "CODE_FUNC=\(event.function)",
        ]
        for (key, value) in fields { entries.append("MOED_\(Self.fieldName(key))=\(value)") }
        Self.send(entries)
    }

    /// The journal takes upper-case letters, digits and underscores.
    private static func fieldName(_ key: String) -> String {
        String(
            String.UnicodeScalarView(
                key.uppercased().unicodeScalars.map {
                    ("A"..."Z").contains($0) || ("0"..."9").contains($0) ? $0 : "_"
                }))
    }

    private static func send(_ entries: [String]) {
        var bytes: [UInt8] = []
        var ranges: [Range<Int>] = []
        for entry in entries {
            let start = bytes.count
            bytes += entry.utf8
            ranges.append(start..<bytes.count)
        }
        bytes.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            let parts = ranges.map { iovec(iov_base: base + $0.lowerBound, iov_len: $0.count) }
            sd_journal_sendv(parts, Int32(parts.count))
        }
    }
}

extension Logger.Level {
    /// syslog(3)
    var syslogPriority: Int {
        switch self {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}

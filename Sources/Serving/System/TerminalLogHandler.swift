import Glibc
package import Logging

/// Writes one readable line an entry to standard error.
package struct TerminalLogHandler: LogHandler {
    package var logLevel = Logger.Level.info
    package var metadata = Logger.Metadata()
    package var metadataProvider: Logger.MetadataProvider?

    package init() {}

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        let fields = LogText.fields(metadata, metadataProvider?.get(), event.metadata)
        let prefix = event.level >= .warning ? "moed: \(event.level): " : "moed: "
        let bytes = Array((prefix + LogText.line(event.message, fields) + "\n").utf8)
        // One write, so that lines of different threads don't mix.
        _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

enum LogText {
    static func fields(_ layers: Logger.Metadata?...) -> [(key: String, value: String)] {
        var merged = Logger.Metadata()
        for layer in layers { merged.merge(layer ?? [:]) { $1 } }
        return merged.sorted { $0.key < $1.key }.map { ($0.key, "\($0.value)") }
    }

    static func line(_ message: Logger.Message, _ fields: [(key: String, value: String)]) -> String {
        let text = "\(message)"
        guard !fields.isEmpty else { return text }
        return "\(text) (\(fields.map { "\($0.key): \($0.value)" }.joined(separator: ", ")))"
    }
}

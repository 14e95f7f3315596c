import Glibc
import Quantizer

/// Room on a file system: statvfs(3).
enum DiskSpace {
    /// Bytes that an unprivileged process may still write beside a file of this path; nil where nobody can say.
    static func available(forFile path: String) -> Int? {
        let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else { return nil }
        let (bytes, overflow) = Int(clamping: status.f_bavail).multipliedReportingOverflow(
            by: Int(clamping: status.f_frsize))
        return overflow ? Int.max : bytes
    }

    /// Refuses what can't fit, because a conversion may run for hours before the disk is full.
    ///
    /// - Parameter unfinishedByteCount: of a file that the conversion goes on with.
    static func check(
        _ forecast: ConversionForecast, output: String, unfinishedByteCount: Int
    ) throws(QuantizerError) {
        guard let free = available(forFile: output), free < forecast.fileByteCount - unfinishedByteCount else { return }
        throw QuantizerError(
            code: .noSpace,
            message: "\(output) will have up to \(Amount.bytes(forecast.fileByteCount)), and the disk has "
                + "\(Amount.bytes(free)) free",
            advice: "Make room, or choose another disk or a smaller recipe")
    }
}

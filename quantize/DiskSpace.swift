import Glibc

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
}

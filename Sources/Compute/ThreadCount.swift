import Glibc

/// How many threads the process may keep busy.
package struct ThreadCount {
    /// The processors of the affinity mask, or the cgroup's quota (rounded up) where that is less; at least 1.
    package static var available: Int {
        let processors = affinity() ?? sysconf(Int32(_SC_NPROCESSORS_ONLN))
        return max(1, min(processors, quota() ?? .max))
    }

    /// The bits of `Cpus_allowed` in `/proc/self/status`, which is what `sched_getaffinity` gives.
    package static func affinity(root: String = "") -> Int? {
        let lines = contents(of: "\(root)/proc/self/status")?.split(separator: "\n") ?? []
        for line in lines where line.hasPrefix("Cpus_allowed:") {
            // Hexadecimal words, separated by commas.
            let count = line.dropFirst("Cpus_allowed:".count).reduce(0) { $0 + ($1.hexDigitValue ?? 0).nonzeroBitCount }
            return count > 0 ? count : nil
        }
        return nil
    }

    /// The least quota of the process's cgroup and its ancestors, in whole processors rounded up; nil without one.
    ///
    /// - Parameter root: where `proc` and `sys` are, for tests.
    package static func quota(root: String = "") -> Int? {
        guard let memberships = contents(of: "\(root)/proc/self/cgroup") else { return nil }
        var least: Double?
        for line in memberships.split(separator: "\n") {
            // hierarchy:controllers:path
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let isUnified = fields[0] == "0" && fields[1].isEmpty
            guard isUnified || fields[1].split(separator: ",").contains("cpu") else { continue }
            let mounts =
                isUnified
                ? ["\(root)/sys/fs/cgroup", "\(root)/sys/fs/cgroup/unified"]
                : ["\(root)/sys/fs/cgroup/cpu", "\(root)/sys/fs/cgroup/\(fields[1])"]
            for directory in mounts.flatMap({ lineage(mount: $0, path: fields[2]) }) {
                guard let quota = isUnified ? unifiedQuota(directory) : legacyQuota(directory) else { continue }
                least = min(least ?? quota, quota)
            }
        }
        return least.map { max(1, Int(min($0, 65_536).rounded(.up))) }
    }

    /// The cgroup's directory and its ancestors' up to the mount.
    private static func lineage(mount: String, path: Substring) -> [String] {
        var directories = [mount]
        // Seen from inside a namespace, the path may begin above the mount.
        for component in path.split(separator: "/") where component != ".." {
            directories.append("\(directories[directories.count - 1])/\(component)")
        }
        return directories
    }

    /// `cpu.max`: "quota period" or "max period", in microseconds.
    private static func unifiedQuota(_ directory: String) -> Double? {
        guard let fields = contents(of: "\(directory)/cpu.max")?.split(whereSeparator: \.isWhitespace),
            fields.count == 2, let quota = Double(fields[0]), let period = Double(fields[1]), period > 0
        else { return nil }
        return quota / period
    }

    /// `cpu.cfs_quota_us` (−1 for none) and `cpu.cfs_period_us`.
    private static func legacyQuota(_ directory: String) -> Double? {
        guard let quota = number(in: "\(directory)/cpu.cfs_quota_us"), quota > 0,
            let period = number(in: "\(directory)/cpu.cfs_period_us"), period > 0
        else { return nil }
        return quota / period
    }

    private static func number(in path: String) -> Double? {
        contents(of: path)?.split(whereSeparator: \.isWhitespace).first.flatMap { Double($0) }
    }

    /// The beginning of a small file of the kernel's, nil if it can't be read.
    private static func contents(of path: String) -> String? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
    }
}

/// What this process may still take: the least of what the system has available and what its control groups
/// (versions 1 and 2) leave, less a margin.
package struct AvailableMemory: Sendable, Equatable {
    /// Bytes that are free or can be reclaimed.
    package let byteCount: Int
    /// Where that figure comes from: a file's path.
    package let source: String
    /// What the figure is a part of: the machine's memory, or a control group's limit.
    package let limitByteCount: Int

    package init(byteCount: Int, source: String, limitByteCount: Int? = nil) {
        self.byteCount = byteCount
        self.source = source
        self.limitByteCount = limitByteCount ?? byteCount
    }

    /// The same when so many bytes more were available.
    package func adding(_ byteCount: Int) -> AvailableMemory {
        AvailableMemory(byteCount: self.byteCount + byteCount, source: source, limitByteCount: limitByteCount)
    }

    /// Left to the rest of the system: an eighth, but 64 MiB at least.
    package var margin: Int { max(byteCount / 8, 64 << 20) }

    /// What a plan may use.
    package var budget: Int { max(byteCount - margin, 0) }

    /// - Parameters:
    ///   - root: stands before `/proc` and `/sys`, for tests.
    ///   - kept: bytes of shared memory that are this process's, whichever control group they are charged to: systemd makes
    ///     a unit's group anew when it restarts, and what an earlier run left in memory isn't counted in it.
    ///   - isReusing: whether they count as available, for a plan that has them in it.
    package static func current(root: String = "", kept: Int = 0, isReusing: Bool = false) -> AvailableMemory? {
        var found: [AvailableMemory] = []
        if let machine = machine(root: root) { found.append(isReusing ? machine.adding(kept) : machine) }
        for group in ControlGroup.own(root: root) {
            found += limits(
                below: group.mount, path: group.path, kept: kept, isReusing: isReusing,
                group.version == 2 ? .version2 : .version1)
        }
        return found.min { $0.byteCount < $1.byteCount }
    }

    /// What the machine has, whatever a control group may take of it.
    package static func machine(root: String = "") -> AvailableMemory? {
        let meminfo = "\(root)/proc/meminfo"
        guard let file = KernelFile(meminfo), let available = file.number(after: "MemAvailable:") else { return nil }
        // It counts the page cache as free, and with it pages that processes have mapped and work with: their
        // code, or another program's model. Shared memory is among the mapped pages, but not in the figure.
        let mapped = max((file.number(after: "Mapped:") ?? 0) - (file.number(after: "Shmem:") ?? 0), 0)
        let total = file.number(after: "MemTotal:") ?? available
        return AvailableMemory(
            byteCount: max(available - mapped, 0) * 1024, source: meminfo, limitByteCount: total * 1024)
    }

    /// How many processes the kernel has killed for want of memory, the machine's or a control group's; 0 where it doesn't
    /// count them (before Linux 4.13).
    package static func killCount(root: String = "") -> Int {
        KernelFile("\(root)/proc/vmstat")?.number(after: "oom_kill") ?? 0
    }

    private struct ControlGroupFiles {
        /// What it may take before it is slowed down or killed. Swap isn't in any of them.
        let limits: [String]
        let usage: String
        /// The fields of `memory.stat` that say how much of the usage is file cache, and how much of that is mapped and
        /// therefore in use. Shared memory, which weights that outlive the daemon are, is among the mapped pages, but not
        /// in the cache.
        let reclaimable: [String]
        let mapped: String
        let shared: String

        static let version2 = ControlGroupFiles(
            limits: ["memory.max", "memory.high"], usage: "memory.current",
            reclaimable: ["inactive_file", "active_file"], mapped: "file_mapped", shared: "shmem")
        static let version1 = ControlGroupFiles(
            limits: ["memory.limit_in_bytes"], usage: "memory.usage_in_bytes",
            reclaimable: ["total_inactive_file", "total_active_file"], mapped: "total_mapped_file",
            shared: "total_shmem")
    }

    /// What the group and every group above it leave. In a namespace of its own a group sees itself at the mount's
    /// root, whatever path the kernel names.
    private static func limits(
        below mount: String, path: String, kept: Int, isReusing: Bool, _ files: ControlGroupFiles
    ) -> [AvailableMemory] {
        var components = path.split(separator: "/")
        var found: [AvailableMemory] = []
        while true {
            let directory = ([Substring(mount)] + components).joined(separator: "/")
            for file in files.limits {
                guard let limit = number(in: "\(directory)/\(file)"),
                    let usage = number(in: "\(directory)/\(files.usage)")
                else { continue }
                let stat = KernelFile("\(directory)/memory.stat")
                let cached = files.reclaimable.reduce(0) { $0 + (stat?.number(after: $1) ?? 0) }
                let shared = stat?.number(after: files.shared)
                let mapped = max((stat?.number(after: files.mapped) ?? 0) - (shared ?? 0), 0)
                let reclaimable = max(cached - mapped, 0)
                let counted = min(kept, shared ?? kept)
                let left = limit - max(usage - reclaimable, 0) + (isReusing ? counted : counted - kept)
                found.append(
                    AvailableMemory(byteCount: max(left, 0), source: "\(directory)/\(file)", limitByteCount: limit))
            }
            guard components.popLast() != nil else { return found }
        }
    }

    /// nil for `max`, for version 1's "no limit" (2^63 less a page) and for what isn't there.
    private static func number(in path: String) -> Int? {
        KernelFile(path)?.number.flatMap { $0 < 1 << 60 ? $0 : nil }
    }
}

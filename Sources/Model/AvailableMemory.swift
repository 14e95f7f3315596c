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

    /// - Parameter root: stands before `/proc` and `/sys`, for tests.
    package static func current(root: String = "") -> AvailableMemory? {
        var found: [AvailableMemory] = []
        if let machine = machine(root: root) { found.append(machine) }
        for group in ControlGroup.own(root: root) {
            found += limits(below: group.mount, path: group.path, group.version == 2 ? .version2 : .version1)
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

    private struct ControlGroupFiles {
        /// What it may take before it is slowed down or killed. Swap isn't in any of them.
        let limits: [String]
        let usage: String
        /// The fields of `memory.stat` that say how much of the usage is file cache, and how much of that is mapped and
        /// therefore in use.
        let reclaimable: [String]
        let mapped: String

        static let version2 = ControlGroupFiles(
            limits: ["memory.max", "memory.high"], usage: "memory.current",
            reclaimable: ["inactive_file", "active_file"], mapped: "file_mapped")
        static let version1 = ControlGroupFiles(
            limits: ["memory.limit_in_bytes"], usage: "memory.usage_in_bytes",
            reclaimable: ["total_inactive_file", "total_active_file"], mapped: "total_mapped_file")
    }

    /// What the group and every group above it leave. In a namespace of its own a group sees itself at the mount's
    /// root, whatever path the kernel names.
    private static func limits(below mount: String, path: String, _ files: ControlGroupFiles) -> [AvailableMemory] {
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
                let reclaimable = max(cached - (stat?.number(after: files.mapped) ?? 0), 0)
                let left = max(limit - max(usage - reclaimable, 0), 0)
                found.append(
                    AvailableMemory(byteCount: left, source: "\(directory)/\(file)", limitByteCount: limit))
            }
            guard components.popLast() != nil else { return found }
        }
    }

    /// nil for `max`, for version 1's "no limit" (2^63 less a page) and for what isn't there.
    private static func number(in path: String) -> Int? {
        KernelFile(path)?.number.flatMap { $0 < 1 << 60 ? $0 : nil }
    }
}

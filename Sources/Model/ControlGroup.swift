/// A control group of this process in a hierarchy that can count memory.
package struct ControlGroup: Sendable, Equatable {
    package let version: Int
    /// Where the hierarchy is mounted.
    package let mount: String
    /// As the kernel names it, from the mount on.
    package let path: String

    package var directory: String { path == "/" ? mount : mount + path }

    /// What `/proc/self/cgroup` says.
    ///
    /// - Parameter root: stands before `/proc` and `/sys`, for tests.
    package static func own(root: String = "") -> [ControlGroup] {
        (KernelFile("\(root)/proc/self/cgroup")?.lines ?? []).compactMap { line in
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return nil }
            if parts[1].isEmpty {
                return ControlGroup(version: 2, mount: "\(root)/sys/fs/cgroup", path: String(parts[2]))
            }
            guard parts[1].split(separator: ",").contains("memory") else { return nil }
            return ControlGroup(version: 1, mount: "\(root)/sys/fs/cgroup/memory", path: String(parts[2]))
        }
    }
}

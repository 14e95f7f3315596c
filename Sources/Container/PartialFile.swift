internal import Glibc
internal import SystemPackage

/// A file that is written beside its final name and gets it at the end, disappears, or is kept for a later writer.
///
/// The partial file is locked, so that two writers of one name don't mix. What a killed writer left in it is still there.
final class PartialFile {
    let path: String
    let file: PositionedFile
    private let replacing: Bool
    /// Whether the partial file is to go when its owner does.
    private var isThere = true

    init(path: String, replacing: Bool) throws(ContainerError) {
        self.path = path
        self.replacing = replacing
        var status = stat()
        if unsafe lstat(path, &status) == 0 {
            let isDirectory = status.st_mode & S_IFMT == S_IFDIR
            if isDirectory || !replacing { throw Self.exists(path, isDirectory ? "a directory" : "a file") }
        }
        file = try Self.locked(Self.partialPath(for: path))
    }

    deinit { remove() }

    static func partialPath(for path: String) -> String { path + ".partial" }

    private static func locked(_ path: String) throws(ContainerError) -> PositionedFile {
        while true {
            let file = try PositionedFile.open(creating: path)
            let opened = try file.status()
            guard try file.lock() else {
                throw ContainerError(
                    .busy, path: path, field: "lock", expected: "nobody else", found: "another writer")
            }
            // Between open and lock the former owner may have renamed or removed what was opened.
            var named = stat()
            guard unsafe lstat(path, &named) == 0, UInt64(named.st_ino) == opened.inode else { continue }
            guard opened.linkCount <= 1 else {
                throw exists(path, "a file with \(opened.linkCount) names")
            }
            return file
        }
    }

    /// fsync(2) of the directory: the names in it outlast a crash of the machine.
    func synchronizeDirectory() throws(ContainerError) {
        let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        try PositionedFile.open(directory: directory).synchronize()
    }

    /// The final name, then fsync(2) of the directory.
    func publish() throws(ContainerError) {
        let isLinked = replacing ? false : try giveSecondName()
        if !isLinked {
            guard unsafe rename(file.path, path) == 0 else {
                throw PositionedFile.systemFailure(Errno(rawValue: errno), path: path, call: "rename")
            }
            isThere = false
        } else {
            remove()
        }
        try synchronizeDirectory()
    }

    /// link(2), which refuses a name that exists, as rename(2) doesn't. False where the file system has no links.
    private func giveSecondName() throws(ContainerError) -> Bool {
        if unsafe link(file.path, path) == 0 { return true }
        let failure = Errno(rawValue: errno)
        switch failure {
        case .fileExists: throw Self.exists(path, "a file that appeared meanwhile")
        case .notPermitted, .notSupported: return false
        default: throw PositionedFile.systemFailure(failure, path: path, call: "link")
        }
    }

    /// unlink(2) while the lock is still held, so it can't be another writer's file.
    func remove() {
        guard isThere else { return }
        isThere = false
        Self.unlink(file.path)
    }

    /// Leaves the partial file for a later writer.
    func keep() { isThere = false }

    static func unlink(_ path: String) { _ = unsafe Glibc.unlink(path) }

    static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    /// Whether two names stand for one file.
    static func isSameFile(_ first: String, _ second: String) -> Bool {
        var statuses = (stat(), stat())
        guard unsafe lstat(first, &statuses.0) == 0, unsafe lstat(second, &statuses.1) == 0 else { return false }
        return statuses.0.st_dev == statuses.1.st_dev && statuses.0.st_ino == statuses.1.st_ino
    }

    private static func exists(_ path: String, _ found: String) -> ContainerError {
        ContainerError(.exists, path: path, field: "target", expected: "no file of this name", found: found)
    }
}

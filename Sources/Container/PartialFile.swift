internal import Glibc
internal import SystemPackage

/// A file that is written beside its final name and gets it at the end, or disappears.
///
/// The partial file is locked, so that two writers of one name don't mix; one that a killed writer left is emptied and
/// used.
final class PartialFile {
    let path: String
    let file: PositionedFile
    private let replacing: Bool
    private var isThere = true

    init(path: String, replacing: Bool) throws(ContainerError) {
        self.path = path
        self.replacing = replacing
        var status = stat()
        if unsafe lstat(path, &status) == 0 {
            let isDirectory = status.st_mode & S_IFMT == S_IFDIR
            if isDirectory || !replacing { throw Self.exists(path, isDirectory ? "a directory" : "a file") }
        }
        file = try Self.lockedAndEmpty(path + ".partial")
    }

    deinit { remove() }

    private static func lockedAndEmpty(_ path: String) throws(ContainerError) -> PositionedFile {
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
            try file.empty()
            return file
        }
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
        let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        try PositionedFile.open(directory: directory).synchronize()
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
        _ = unsafe unlink(file.path)
    }

    private static func exists(_ path: String, _ found: String) -> ContainerError {
        ContainerError(.exists, path: path, field: "target", expected: "no file of this name", found: found)
    }
}

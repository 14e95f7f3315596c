internal import Glibc
internal import SystemPackage

/// What tells one state of a file from another (stat(2)): which file it is, how long, and when its contents and its
/// entry were last changed.
package struct FileStamp: Sendable, Equatable {
    let device: UInt64
    let inode: UInt64
    let byteCount: Int64
    let modified: Time
    let changed: Time

    struct Time: Sendable, Equatable {
        let seconds: Int
        let nanoseconds: Int

        init(_ time: timespec) {
            seconds = time.tv_sec
            nanoseconds = time.tv_nsec
        }
    }

    init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        byteCount = Int64(status.st_size)
        modified = Time(status.st_mtim)
        changed = Time(status.st_ctim)
    }

    func isSameFile(as other: FileStamp) -> Bool { device == other.device && inode == other.inode }
}

extension PositionedFile {
    /// Of the open file; nil when the system doesn't tell.
    var stamp: FileStamp? {
        var status = stat()
        return unsafe fstat(descriptor, &status) == 0 ? FileStamp(status) : nil
    }

    /// Of the file that stands at a path, or the reason why there is none.
    static func stamp(ofPath path: String) -> Result<FileStamp, ContainerError> {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else {
            return .failure(systemFailure(.init(rawValue: errno), path: path, call: "stat"))
        }
        return .success(FileStamp(status))
    }

    /// Reads another open file from now on (dup2(2)); reads that are under way end with the old one.
    func change(to other: PositionedFile) throws(ContainerError) {
        while dup2(other.descriptor, descriptor) < 0 {
            if errno != EINTR && errno != EBUSY {
                throw Self.systemFailure(.init(rawValue: errno), path: path, call: "dup2")
            }
        }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }
}

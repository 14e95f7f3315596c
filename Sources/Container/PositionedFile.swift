internal import Glibc
internal import SystemPackage

/// An open file that is read and written at absolute offsets, so that threads can share it.
///
/// Every call goes on after an interruption or a short transfer, and fails with the path and the place.
final class PositionedFile: Sendable {
    let path: String
    let descriptor: CInt

    /// Linux transfers at most 2 GiB less a page in one call.
    private static let transferLimit = 1 << 30
    private static let pieceByteCount = 4 << 20

    private init(path: String, descriptor: CInt) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit { _ = close(descriptor) }

    /// open(2) for reading. A pipe or a device could make it wait for ever: `O_NONBLOCK` and the check of `status` are
    /// against that.
    static func open(reading path: String) throws(ContainerError) -> PositionedFile {
        try open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
    }

    /// open(2) for reading past the page cache; nil where the file system doesn't have that.
    static func open(readingDirectly path: String) throws(ContainerError) -> PositionedFile? {
        do {
            return try open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | directFlag)
        } catch {
            guard error.errno == EINVAL else { throw error }
            return nil
        }
    }

    /// `O_DIRECT`, which Glibc's headers keep for those who define `_GNU_SOURCE`.
    #if arch(arm64)
        private static let directFlag: CInt = 0o200000
    #else
        private static let directFlag: CInt = 0o40000
    #endif

    /// open(2) for writing; creates the file, and follows no symbolic link.
    static func open(creating path: String) throws(ContainerError) -> PositionedFile {
        try open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
    }

    static func open(directory path: String) throws(ContainerError) -> PositionedFile {
        try open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    }

    private static func open(_ path: String, _ flags: CInt) throws(ContainerError) -> PositionedFile {
        while true {
            // Swift's Glibc imports this form of the variadic open(2).
            let descriptor = unsafe Glibc.open(path, flags, 0o644)
            if descriptor >= 0 { return PositionedFile(path: path, descriptor: descriptor) }
            let failure = Errno(rawValue: errno)
            if failure != .interrupted { throw systemFailure(failure, path: path, call: "open") }
        }
    }

    /// fstat(2); only a regular file passes.
    func status() throws(ContainerError) -> (byteCount: UInt64, inode: UInt64, linkCount: UInt64) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw Self.systemFailure(Errno(rawValue: errno), path: path, call: "fstat")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw ContainerError(
                .notContainer, path: path, field: "the file's kind", expected: "a regular file",
                found: "a directory, device, pipe or socket")
        }
        return (UInt64(max(0, status.st_size)), UInt64(status.st_ino), UInt64(status.st_nlink))
    }

    /// Whether both are open on one file, whatever its names are by now.
    func isSameFile(as other: PositionedFile) -> Bool {
        guard let mine = stamp, let its = other.stamp else { return false }
        return mine.isSameFile(as: its)
    }

    /// pread(2) of whole pages, as reading past the page cache needs it, until `wanted` bytes are there: the file may end
    /// within the last page. `offset`, the address and the size of `destination` are multiples of `page`.
    func readPages(
        at offset: UInt64, into destination: UnsafeMutableRawBufferPointer, wanted: Int, page: Int,
        _ field: @autoclosure () -> String
    ) throws(ContainerError) {
        guard let base = destination.baseAddress else { return }
        var done = 0
        while done < wanted {
            // A call that fell short within a page is done again from the page's beginning.
            let start = done / page * page
            let count = unsafe pread(
                descriptor, base + start, min(destination.count - start, Self.transferLimit),
                off_t(offset) + off_t(start))
            if count > 0, start + count > done {
                done = start + count
            } else if count >= 0 {
                throw ContainerError(
                    .truncated, path: path, offset: offset + UInt64(done), field: field(),
                    expected: "\(wanted - done) more bytes", found: "the end of the file")
            } else if errno != EINTR {
                throw Self.systemFailure(
                    Errno(rawValue: errno), path: path, offset: offset + UInt64(start), call: "pread of \(field())")
            }
        }
    }

    /// pread(2) until `destination` is full.
    func read(
        at offset: UInt64, into destination: UnsafeMutableRawBufferPointer, _ field: @autoclosure () -> String
    ) throws(ContainerError) {
        guard var base = destination.baseAddress else { return }
        var remaining = destination.count
        var place = offset
        while remaining > 0 {
            let count = unsafe pread(descriptor, base, min(remaining, Self.transferLimit), off_t(place))
            if count > 0 {
                unsafe base += count
                remaining -= count
                place += UInt64(count)
            } else if count == 0 {
                throw ContainerError(
                    .truncated, path: path, offset: place, field: field(), expected: "\(remaining) more bytes",
                    found: "the end of the file")
            } else if errno != EINTR {
                throw Self.systemFailure(Errno(rawValue: errno), path: path, offset: place, call: "pread of \(field())")
            }
        }
    }

    func readArray(
        at offset: UInt64, byteCount: Int, _ field: @autoclosure () -> String
    ) throws(ContainerError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        var span = bytes.mutableSpan
        try unsafe span.withUnsafeMutableBytes { (buffer) throws(ContainerError) in
            try unsafe read(at: offset, into: buffer, field())
        }
        return bytes
    }

    /// XXH3-64 of a range, read piece by piece.
    func checksum(
        at offset: UInt64, byteCount: Int, _ field: @autoclosure () -> String
    ) throws(ContainerError) -> UInt64 {
        guard var stream = XXH3.Stream() else {
            throw outOfMemory(field())
        }
        let piece = UnsafeMutableRawBufferPointer.allocate(
            byteCount: min(byteCount, Self.pieceByteCount), alignment: 64)
        defer { unsafe piece.deallocate() }
        var done = 0
        while done < byteCount {
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: piece[..<min(piece.count, byteCount - done)])
            try unsafe read(at: offset + UInt64(done), into: part, field())
            unsafe stream.update(UnsafeRawBufferPointer(part))
            done += part.count
        }
        return stream.finalize()
    }

    func outOfMemory(_ field: String) -> ContainerError {
        Self.systemFailure(.noMemory, path: path, call: "XXH3_createState for \(field)")
    }

    /// pwrite(2) until everything is written.
    func write(
        _ source: UnsafeRawBufferPointer, at offset: UInt64, _ field: @autoclosure () -> String
    ) throws(ContainerError) {
        guard var base = source.baseAddress else { return }
        var remaining = source.count
        var place = offset
        while remaining > 0 {
            let count = unsafe pwrite(descriptor, base, min(remaining, Self.transferLimit), off_t(place))
            if count > 0 {
                unsafe base += count
                remaining -= count
                place += UInt64(count)
            } else if count == 0 {
                throw Self.systemFailure(.ioError, path: path, offset: place, call: "pwrite of \(field())")
            } else if errno != EINTR {
                throw Self.systemFailure(
                    Errno(rawValue: errno), path: path, offset: place, call: "pwrite of \(field())")
            }
        }
    }

    func write(_ bytes: [UInt8], at offset: UInt64, _ field: @autoclosure () -> String) throws(ContainerError) {
        try unsafe bytes.span.withUnsafeBytes { (buffer) throws(ContainerError) in
            try unsafe write(buffer, at: offset, field())
        }
    }

    /// fsync(2). Not repeated after an error: the kernel may have dropped what it couldn't write.
    func synchronize() throws(ContainerError) {
        guard fsync(descriptor) == 0 else {
            throw Self.systemFailure(Errno(rawValue: errno), path: path, call: "fsync")
        }
    }

    /// ftruncate(2).
    func truncate(to byteCount: UInt64) throws(ContainerError) {
        while ftruncate(descriptor, off_t(byteCount)) != 0 {
            if errno != EINTR { throw Self.systemFailure(Errno(rawValue: errno), path: path, call: "ftruncate") }
        }
    }

    /// flock(2) without waiting; false if somebody else holds it. The lock lives as long as the open file.
    func lock() throws(ContainerError) -> Bool {
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            if errno == EWOULDBLOCK { return false }
            if errno != EINTR { throw Self.systemFailure(Errno(rawValue: errno), path: path, call: "flock") }
        }
        return true
    }

    static func systemFailure(
        _ failure: Errno, path: String, offset: UInt64? = nil, call: String
    ) -> ContainerError {
        ContainerError(
            .system, path: path, offset: offset, field: call, expected: "success",
            found: "\(failure) (errno \(failure.rawValue))", advice: advice(failure), errno: failure.rawValue)
    }

    private static func advice(_ failure: Errno) -> String? {
        switch failure {
        case .noSpace, .diskQuotaExceeded, .fileTooLarge: "Make room on the disk, or choose another one."
        case .ioError: "The disk or its connection fails: look at the system's log."
        default: nil
        }
    }
}

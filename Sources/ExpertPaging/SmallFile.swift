import Glibc

/// Files that are read and written whole.
enum SmallFile {
    struct Failure: Error, CustomStringConvertible {
        let description: String
        /// The error number; 0 for a file that is too long or isn't a regular one.
        let code: Int32

        var isMissing: Bool { code == ENOENT }

        init(_ path: String, call: String, code: Int32 = errno) {
            description = "\(path): \(call): \(unsafe String(cString: strerror(code)))"
            self.code = code
        }

        init(_ path: String, problem: String) {
            description = "\(path) \(problem)"
            code = 0
        }
    }

    /// The bytes of a regular file of at most `limit` bytes.
    static func read(_ path: String, limit: Int) throws(Failure) -> [UInt8] {
        // Not blocking: a FIFO in its place must not stop the program.
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { throw Failure(path, call: "open") }
        defer { close(file) }
        var status = stat()
        guard unsafe fstat(file, &status) == 0 else { throw Failure(path, call: "fstat") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw Failure(path, problem: "isn't a regular file") }
        guard Int(status.st_size) <= limit else {
            throw Failure(path, problem: "is \(status.st_size) bytes long, and \(limit) is the most that is expected")
        }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var count = 0
        while count < bytes.count {
            let got = unsafe bytes.withUnsafeMutableBytes {
                unsafe Glibc.read(file, $0.baseAddress! + count, $0.count - count)
            }
            if got < 0 {
                guard errno == EINTR else { throw Failure(path, call: "read") }
                continue
            }
            guard got > 0 else { break }
            count += got
        }
        return Array(bytes.prefix(count))
    }

    /// Replaces a file so that it has its old or its new contents whatever happens.
    static func replace(_ path: String, with bytes: [UInt8]) throws(Failure) {
        let partial = path + ".partial"
        let file = unsafe open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard file >= 0 else { throw Failure(partial, call: "open") }
        do {
            defer { close(file) }
            var count = 0
            while count < bytes.count {
                let put = unsafe bytes.withUnsafeBytes { unsafe write(file, $0.baseAddress! + count, $0.count - count) }
                if put < 0 {
                    guard errno == EINTR else { throw abandon(partial, "write") }
                    continue
                }
                count += put
            }
            guard fsync(file) == 0 else { throw abandon(partial, "fsync") }
        }
        guard unsafe rename(partial, path) == 0 else { throw abandon(partial, "rename") }
    }

    private static func abandon(_ partial: String, _ call: String) -> Failure {
        let failure = Failure(partial, call: call)
        _ = unsafe unlink(partial)
        return failure
    }
}

import Glibc
import TestSupport

/// A file in memory that is rewritten for each input, because some parsers read files.
final class FuzzedFile {
    let path: String
    private let descriptor: CInt

    init() throws {
        let name = "/moed-fuzz-\(getpid())"
        descriptor = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0o600)
        guard descriptor >= 0 else { throw SystemCallFailure(call: "shm_open", code: errno) }
        shm_unlink(name)
        path = "/proc/self/fd/\(descriptor)"
    }

    deinit { close(descriptor) }

    func replace(with bytes: [UInt8]) throws {
        let written = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        guard written == bytes.count, ftruncate(descriptor, written) == 0 else {
            throw SystemCallFailure(call: "pwrite", code: errno)
        }
    }
}

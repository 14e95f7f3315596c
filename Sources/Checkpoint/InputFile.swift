import Glibc
import SystemPackage

/// A regular file that is read by position, from any number of threads.
package final class InputFile: Sendable {
    package let path: String
    package let byteCount: Int
    /// When it was last written, in nanoseconds since 1970.
    package let modificationTime: Int
    private let descriptor: FileDescriptor

    package init(path: String) throws(CheckpointError) {
        self.path = path
        do {
            descriptor = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec, .nonBlocking])
        } catch {
            throw CheckpointError(.inputOutput, "can't be opened: \(error)", path: path)
        }
        var status = stat()
        let failed = unsafe fstat(descriptor.rawValue, &status) != 0
        guard !failed, status.st_mode & S_IFMT == S_IFREG else {
            try? descriptor.close()
            throw CheckpointError(.inputOutput, "isn't a regular file", path: path)
        }
        byteCount = Int(status.st_size)
        modificationTime = status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec
    }

    deinit { try? descriptor.close() }

    /// Without its folder.
    package var name: String { path.split(separator: "/").last.map(String.init) ?? path }

    /// Fills `buffer` from `offset` on; pread(2) until it is full.
    package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(CheckpointError) {
        var filled = 0
        while filled < buffer.count {
            let count: Int
            do {
                count = try unsafe descriptor.read(
                    fromAbsoluteOffset: Int64(offset + filled),
                    into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            } catch {
                throw CheckpointError(.inputOutput, "can't be read: \(error)", path: path, offset: offset + filled)
            }
            guard count > 0 else {
                throw CheckpointError(
                    .inputOutput, "ends early", path: path, offset: offset + filled,
                    expected: "\(buffer.count - filled) more bytes", found: "the end of the file",
                    advice: "Was the file changed while it was read?")
            }
            filled += count
        }
    }

    /// - Parameter range: inside the file; the caller has checked it.
    package func bytes(_ range: Range<Int>) throws(CheckpointError) -> [UInt8] {
        var failure: CheckpointError?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            do throws(CheckpointError) {
                try unsafe read(
                    into: UnsafeMutableRawBufferPointer(
                        rebasing: UnsafeMutableRawBufferPointer(buffer)[..<range.count]),
                    at: range.lowerBound)
                count = range.count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    private static let comparedByteCount = 4 << 20

    /// Whether so many bytes from `offset` on are those of another file, or of another place; the caller has checked that
    /// all are there.
    func hasBytes(
        _ count: Int, at offset: Int, of other: InputFile, at otherOffset: Int
    ) throws(CheckpointError) -> Bool {
        for start in stride(from: 0, to: count, by: Self.comparedByteCount) {
            let length = min(Self.comparedByteCount, count - start)
            let own = try bytes(offset + start..<offset + start + length)
            guard try own == other.bytes(otherOffset + start..<otherOffset + start + length) else { return false }
        }
        return true
    }

    /// The whole of a file that has no business being larger than `limit`.
    package func allBytes(atMost limit: Int) throws(CheckpointError) -> [UInt8] {
        guard byteCount <= limit else {
            throw CheckpointError(
                .inputOutput, "too large", path: path, expected: "at most \(limit) bytes", found: "\(byteCount)")
        }
        return try bytes(0..<byteCount)
    }

    /// Whether something is there that isn't a folder, a device or the like.
    static func isRegular(path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// nil where there is no such file; an error where there is one that can't be read.
    package static func ifPresent(path: String) throws(CheckpointError) -> InputFile? {
        guard unsafe access(path, F_OK) == 0 else { return nil }
        return try InputFile(path: path)
    }
}

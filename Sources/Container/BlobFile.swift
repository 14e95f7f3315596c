/// The experts' blobs of an open container, read a range at a time, through the page cache or past it (`O_DIRECT`).
package final class BlobFile: Sendable {
    package let container: ContainerReader
    /// Whether reads go past the page cache.
    package let isDirect: Bool
    private let file: PositionedFile

    /// Where ranges begin, and what the memory that they are read into begins at and is a multiple of.
    package static let pageByteCount = 4096

    /// Throws `.system` if the file can't be opened a second time or its name stands for another file by now, and if
    /// `isDirect` is wanted and the file system doesn't have it.
    package init(_ container: ContainerReader, isDirect: Bool) throws(ContainerError) {
        self.container = container
        self.isDirect = isDirect
        guard isDirect else {
            file = container.file
            return
        }
        guard let file = try PositionedFile.open(readingDirectly: container.path) else {
            throw ContainerError(
                .system, path: container.path, field: "open", expected: "a file system with O_DIRECT",
                found: "one without", advice: "Read through the page cache.")
        }
        guard file.isSameFile(as: container.file) else {
            throw ContainerError(
                .system, path: container.path, field: "the file", expected: "the one that was opened a moment ago",
                found: "another in its place", advice: "Start again.")
        }
        self.file = file
    }

    /// Bytes rounded up to whole pages.
    package static func paged(_ byteCount: Int) -> Int {
        (byteCount + pageByteCount - 1) / pageByteCount * pageByteCount
    }

    /// Reads a range of a blob's stored bytes. Any thread.
    ///
    /// - Parameters:
    ///   - range: begins at a multiple of `pageByteCount`.
    ///   - destination: aligned to `pageByteCount`, with room for the range rounded up to whole pages. What the file has
    ///     behind the range may be read too; after an error the bytes are anything.
    package func read(
        _ range: Range<Int>, of record: ExpertRecord, into destination: UnsafeMutableRawPointer
    ) throws(ContainerError) {
        precondition(
            range.lowerBound % Self.pageByteCount == 0 && 0 <= range.lowerBound
                && range.upperBound <= record.storedByteCount)
        let offset = record.offset + UInt64(range.lowerBound)
        if isDirect {
            let buffer = unsafe UnsafeMutableRawBufferPointer(
                start: destination, count: Self.paged(range.count))
            try unsafe file.readPages(
                at: offset, into: buffer, wanted: range.count, page: Self.pageByteCount, "\(record.key)")
        } else {
            let buffer = unsafe UnsafeMutableRawBufferPointer(start: destination, count: range.count)
            try unsafe file.read(at: offset, into: buffer, "\(record.key)")
        }
    }

    /// Compares the checksum of a blob's stored bytes.
    package func verify(
        _ bytes: UnsafeRawBufferPointer, of record: ExpertRecord
    ) throws(ContainerError) {
        try unsafe container.verify(bytes, record.checksum, at: record.offset, "\(record.key)")
    }

    /// Unpacks a blob: `record.byteCount` bytes. Safe whatever the stored bytes are.
    package func unpack(
        _ stored: UnsafeRawBufferPointer, of record: ExpertRecord, into destination: UnsafeMutableRawPointer
    ) throws(ContainerError) {
        try unsafe container.unpack(stored, of: record, into: destination)
    }
}

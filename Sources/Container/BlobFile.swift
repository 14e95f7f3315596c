internal import Synchronization

/// What stands in an open container for its experts, read a range at a time, through the page cache or past it (`O_DIRECT`).
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
        file = try container.openDirectly()
    }

    /// Bytes rounded up to whole pages.
    package static func paged(_ byteCount: Int) -> Int {
        (byteCount + pageByteCount - 1) / pageByteCount * pageByteCount
    }

    /// Bytes that a lane needs beside the arena for any of `sources`: for all that is read of one, in whole pages, and for
    /// what becomes of it before its planes are put together.
    package static func scratchByteCount(of sources: some Sequence<ExpertSource>) -> Int {
        paged(sources.lazy.map(\.scratchByteCount).max() ?? 0)
    }

    /// Reads a range of an expert's stored bytes, in which a second plane follows the first. Any thread.
    ///
    /// - Parameters:
    ///   - range: begins at a multiple of `pageByteCount`.
    ///   - destination: aligned to `pageByteCount`, with room for the range rounded up to whole pages. What the file has
    ///     behind the range may be read too; after an error the bytes are anything.
    package func read(
        _ range: Range<Int>, of source: ExpertSource, into destination: UnsafeMutableRawPointer
    ) throws(ContainerError) {
        precondition(
            range.lowerBound % Self.pageByteCount == 0 && 0 <= range.lowerBound
                && range.upperBound <= source.storedByteCount)
        let offset = source.offset + UInt64(range.lowerBound)
        if isDirect {
            let buffer = unsafe UnsafeMutableRawBufferPointer(
                start: destination, count: Self.paged(range.count))
            try unsafe file.readPages(
                at: offset, into: buffer, wanted: range.count, page: Self.pageByteCount, "\(source.key)")
        } else {
            let buffer = unsafe UnsafeMutableRawBufferPointer(start: destination, count: range.count)
            try unsafe file.read(at: offset, into: buffer, "\(source.key)")
        }
    }

    /// Compares the checksum of an expert that is used as it is stored.
    package func verify(
        _ bytes: UnsafeRawBufferPointer, of source: ExpertSource
    ) throws(ContainerError) {
        precondition(source.isStored)
        try unsafe container.verify(bytes, source.blob.checksum, at: source.offset, "\(source.key)")
    }

    /// Makes an expert of all that was read of it: unpacks it and puts its planes together. Safe whatever the stored bytes
    /// are.
    ///
    /// - Parameters:
    ///   - scratch: at least `source.scratchByteCount` bytes, which begin with the stored ones.
    ///   - destination: `source.byteCount` bytes. After an error they hold anything.
    ///   - verify: whether the stored bytes' checksums are compared, that of each plane.
    package func decode(
        _ source: ExpertSource, scratch: UnsafeMutableRawBufferPointer, into destination: UnsafeMutableRawPointer,
        verify: Bool
    ) throws(ContainerError) {
        precondition(!source.isStored && scratch.count >= source.scratchByteCount)
        try unsafe container.decode(source, scratch: scratch, into: destination, verify: verify)
    }
}

extension ContainerReader {
    /// The file for reading past the page cache, the same one for all who ask.
    fileprivate func openDirectly() throws(ContainerError) -> PositionedFile {
        if let known = directFile.withLock({ $0 }) { return known }
        let opened = try openedDirectly(as: file)
        return directFile.withLock { known in
            let first = known ?? opened
            known = first
            return first
        }
    }

    /// Opens what stands at the path, which must be the very file that is open already.
    func openedDirectly(as file: PositionedFile) throws(ContainerError) -> PositionedFile {
        guard let opened = try PositionedFile.open(readingDirectly: path) else {
            throw ContainerError(
                .system, path: path, field: "open", expected: "a file system with O_DIRECT", found: "one without",
                advice: "Read through the page cache.")
        }
        guard opened.isSameFile(as: file) else {
            throw ContainerError(
                .system, path: path, field: "the file", expected: "the one that was opened a moment ago",
                found: "another in its place", advice: "Start again.")
        }
        return opened
    }
}

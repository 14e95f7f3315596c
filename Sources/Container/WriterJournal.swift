/// What stands beside an unfinished container and says which of its arrays are complete: `PATH.journal`.
///
/// Not part of the `.moe` format: it is read only by the version that wrote it. Little-endian: magic, version (4 bytes),
/// length of the identity (4), the identity, checksum (8); then entries: length of the payload (4), kind (4), payload,
/// checksum (8). A checksum is XXH3-64 of the bytes since the one before it and of that one, so an entry counts only
/// if everything before it does, and the rest of a torn write ends the journal.
///
/// An entry is written after its array. It vouches for the array after a crash of the process. After a crash of the
/// machine only what a *mark* follows is sure to be on the disk: the data are synchronised, then the mark is written,
/// then the journal is synchronised.
final class WriterJournal {
    static let magic: [UInt8] = [0x89, 0x4D, 0x4F, 0x4A, 0x0D, 0x0A, 0x1A, 0x0A]
    static let version: UInt32 = 2
    static let byteLimit = 256 << 20
    static let payloadLimit = 1 << 20

    enum Kind: UInt32 {
        /// A record of the index, then the caller's note.
        case array = 1
        case mark = 2
        /// The caller's own.
        case note = 3
    }

    private let file: PositionedFile
    private var end: UInt64
    private var checksum: UInt64
    /// Where the last mark ends, or the header.
    private var markEnd: UInt64
    private(set) var arrayCount = 0

    private init(_ file: PositionedFile, end: UInt64, checksum: UInt64, markEnd: UInt64, arrayCount: Int) {
        self.file = file
        self.end = end
        self.checksum = checksum
        self.markEnd = markEnd
        self.arrayCount = arrayCount
    }

    static func path(for path: String) -> String { path + ".journal" }

    /// unlink(2), whether there is one or not.
    static func remove(for path: String) { PartialFile.unlink(Self.path(for: path)) }

    /// Starts an empty journal, whatever was there, and waits until it is on the disk.
    static func create(path: String, identity: [UInt8]) throws(ContainerError) -> WriterJournal {
        let file = try PositionedFile.open(creating: path)
        _ = try file.status()
        try file.truncate(to: 0)
        var writer = ByteWriter()
        writer.append(contentsOf: magic)
        writer.append(version)
        writer.append(UInt32(identity.count))
        writer.append(contentsOf: identity)
        let checksum = XXH3.hash(writer.bytes)
        writer.append(checksum)
        try file.write(writer.bytes, at: 0, "header")
        try file.synchronize()
        let end = UInt64(writer.bytes.count)
        return WriterJournal(file, end: end, checksum: checksum, markEnd: end, arrayCount: 0)
    }

    /// Goes on after `contents.entries`; what follows them is cut off.
    static func reopen(path: String, after contents: JournalContents) throws(ContainerError) -> WriterJournal {
        let file = try PositionedFile.open(creating: path)
        _ = try file.status()
        let last = contents.entries.last
        let end = last?.end ?? contents.headerEnd
        try file.truncate(to: end)
        return WriterJournal(
            file, end: end, checksum: last?.checksum ?? contents.headerChecksum,
            markEnd: contents.entries.last { $0.content == .mark }?.end ?? contents.headerEnd,
            arrayCount: contents.entries.count { $0.content.record != nil })
    }

    func append(_ record: ArrayRecord, note: [UInt8]) throws(ContainerError) {
        var writer = ByteWriter()
        switch record {
        case .tensor(let record): record.encode(into: &writer)
        case .expert(let record): record.encode(into: &writer)
        case .refinement(let record): record.encode(into: &writer)
        }
        writer.append(contentsOf: note)
        try append(.array, writer.bytes)
        arrayCount += 1
    }

    func append(note: [UInt8]) throws(ContainerError) { try append(.note, note) }

    /// Says that all arrays before it are on the disk, and waits until the journal is.
    func mark() throws(ContainerError) {
        try append(.mark, [])
        try file.synchronize()
        markEnd = end
    }

    /// Forgets what no mark vouches for. After a failed fsync the kernel may hold such data to be written although they
    /// aren't: reading them back would prove nothing, so they have to be made again.
    func forgetUnmarked() {
        do throws(ContainerError) {
            try file.truncate(to: markEnd)
            end = markEnd
        } catch {
            remove()
        }
    }

    func remove() { PartialFile.unlink(file.path) }

    private func append(_ kind: Kind, _ payload: [UInt8]) throws(ContainerError) {
        var writer = ByteWriter()
        writer.append(UInt32(payload.count))
        writer.append(kind.rawValue)
        writer.append(contentsOf: payload)
        let checksum = JournalContents.checksum(of: writer.bytes[...], after: checksum)
        writer.append(checksum)
        try file.write(writer.bytes, at: end, "entry")
        end += UInt64(writer.bytes.count)
        self.checksum = checksum
    }
}

/// The first 4096 bytes of the file: where the index is, and that the file was finished.
struct Superblock {
    var fileByteCount: UInt64
    var indexOffset: UInt64
    var indexByteCount: UInt64
    var indexChecksum: UInt64

    private static let checksumOffset = ContainerFormat.superblockByteCount - 8
    private static let fieldsByteCount = 48

    func encoded() -> [UInt8] {
        var writer = ByteWriter()
        writer.append(contentsOf: ContainerFormat.magic)
        writer.append(ContainerFormat.majorVersion)
        writer.append(ContainerFormat.minorVersion)
        writer.append(UInt32(ContainerFormat.superblockByteCount))
        writer.append(fileByteCount)
        writer.append(indexOffset)
        writer.append(indexByteCount)
        writer.append(indexChecksum)
        writer.appendZeros(upTo: Self.checksumOffset)
        writer.append(XXH3.hash(writer.bytes))
        return writer.bytes
    }
}

extension Superblock {
    /// - Parameters:
    ///   - bytes: the file's first 4096, or all that it has.
    ///   - actualByteCount: the file's length.
    init(parsing bytes: [UInt8], path: String, actualByteCount: UInt64) throws(ContainerError) {
        guard bytes.isEmpty || bytes.contains(where: { $0 != 0 }) else {
            throw ContainerError(
                .unfinished, path: path, offset: 0, field: "superblock", expected: "a superblock, written last",
                found: "zeros")
        }
        guard bytes.prefix(8).elementsEqual(ContainerFormat.magic.prefix(bytes.count)) else {
            throw ContainerError(
                .notContainer, path: path, offset: 0, field: "magic", expected: "\(ContainerFormat.magic)",
                found: "\(Array(bytes.prefix(8)))")
        }
        guard bytes.count == ContainerFormat.superblockByteCount else {
            throw ContainerError(
                .truncated, path: path, offset: UInt64(bytes.count), field: "superblock",
                expected: "\(ContainerFormat.superblockByteCount) bytes", found: "\(bytes.count) bytes")
        }
        // Magic and checksum stay where they are in every version, so a damaged version number isn't taken for a new one.
        let computed = XXH3.hash(Array(bytes[..<Self.checksumOffset]))
        var tail = ByteReader(
            Array(bytes[Self.checksumOffset...]), path: path, fileOffset: UInt64(Self.checksumOffset))
        let stored: UInt64 = try tail.read("superblock.checksum")
        guard computed == stored else {
            throw ContainerError(
                .damaged, path: path, offset: UInt64(Self.checksumOffset), field: "superblock.checksum",
                expected: hexadecimal(computed), found: hexadecimal(stored))
        }

        var reader = ByteReader(Array(bytes[..<Self.checksumOffset]), path: path, fileOffset: 0)
        _ = try reader.readBytes(UInt64(ContainerFormat.magic.count), "magic")
        let major: UInt16 = try reader.read("version.major")
        let minor: UInt16 = try reader.read("version.minor")
        guard major == ContainerFormat.majorVersion, minor <= ContainerFormat.minorVersion else {
            throw ContainerError(
                .unsupported, path: path, offset: 8, field: "version",
                expected: "\(ContainerFormat.majorVersion).0 to "
                    + "\(ContainerFormat.majorVersion).\(ContainerFormat.minorVersion)",
                found: "\(major).\(minor)")
        }
        let size: UInt32 = try reader.read("superblock.byteCount")
        guard size == ContainerFormat.superblockByteCount else {
            throw ContainerError(
                .malformed, path: path, offset: 12, field: "superblock.byteCount",
                expected: "\(ContainerFormat.superblockByteCount)", found: "\(size)")
        }
        fileByteCount = try reader.read("file.byteCount")
        indexOffset = try reader.read("index.offset")
        indexByteCount = try reader.read("index.byteCount")
        indexChecksum = try reader.read("index.checksum")
        try reader.readZeros(reader.remaining, "superblock.reserved")
        try check(path: path, actualByteCount: actualByteCount)
    }

    private func check(path: String, actualByteCount: UInt64) throws(ContainerError) {
        guard fileByteCount == actualByteCount else {
            throw ContainerError(
                .truncated, path: path, offset: 16, field: "file.byteCount", expected: "\(fileByteCount) bytes",
                found: "\(actualByteCount) bytes")
        }
        guard indexOffset >= UInt64(ContainerFormat.superblockByteCount), indexOffset <= fileByteCount else {
            throw ContainerError(
                .badRange, path: path, offset: 24, field: "index.offset",
                expected: "\(ContainerFormat.superblockByteCount) to \(fileByteCount)", found: "\(indexOffset)")
        }
        guard indexOffset % UInt64(ContainerFormat.indexAlignment) == 0 else {
            throw ContainerError(
                .badRange, path: path, offset: 24, field: "index.offset",
                expected: "a multiple of \(ContainerFormat.indexAlignment)", found: "\(indexOffset)")
        }
        guard indexByteCount <= UInt64(ContainerFormat.indexByteLimit) else {
            throw ContainerError(
                .tooLarge, path: path, offset: 32, field: "index.byteCount",
                expected: "at most \(ContainerFormat.indexByteLimit)", found: "\(indexByteCount)")
        }
        guard indexByteCount >= UInt64(ContainerFormat.indexHeaderByteCount),
            indexByteCount == fileByteCount - indexOffset
        else {
            throw ContainerError(
                .badRange, path: path, offset: 32, field: "index.byteCount",
                expected: "\(fileByteCount - indexOffset), up to the end of the file", found: "\(indexByteCount)")
        }
    }
}

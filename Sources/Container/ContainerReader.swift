internal import Synchronization

/// An open container whose superblock and index are sound.
///
/// The file may come from anywhere: opening it checks every number that is used later, against the bytes that are there
/// and against the configuration, so that the tensors and experts of `metadata.configuration` are all present, each of
/// its own shape. Tensors and blobs are checked as they are read. Nothing is mapped: a file that is cut or overwritten
/// later gives errors.
package final class ContainerReader: Sendable {
    package let path: String
    package let metadata: ModelMetadata
    package let text: TextAssets
    package let tensors: [TensorKey: TensorRecord]
    package let experts: [ExpertKey: ExpertRecord]
    /// Of the experts that have a second plane.
    package let refinements: [ExpertKey: RefinementRecord]
    /// What belongs to layers that predict, which no forward pass reads and the three above don't have.
    package let prediction: Records
    package let fileByteCount: UInt64
    /// XXH3-64 of the index, which holds every other checksum: the model's identity.
    package let indexChecksum: UInt64
    let indexByteCount: UInt64

    let file: PositionedFile
    /// The same file, opened for reading past the page cache once somebody wants that.
    let directFile = Mutex<PositionedFile?>(nil)
    /// What `look` saw last.
    let seen: Mutex<(stamp: FileStamp, condition: FileCondition)?>

    package struct Records: Sendable {
        package let tensors: [TensorKey: TensorRecord]
        package let experts: [ExpertKey: ExpertRecord]
        package let refinements: [ExpertKey: RefinementRecord]

        package var storedByteCount: Int {
            tensors.values.reduce(0) { $0 + $1.byteCount } + experts.values.reduce(0) { $0 + $1.storedByteCount }
                + refinements.values.reduce(0) { $0 + $1.storedByteCount }
        }
    }

    /// Opens and checks; reads the superblock and the index, and no tensor.
    ///
    /// Takes at most 8 times the index plus 64 MiB of memory.
    package init(path: String) throws(ContainerError) {
        let file = try PositionedFile.open(reading: path)
        let stamp = file.stamp
        let status = try file.status()
        let start = Int(min(status.byteCount, UInt64(ContainerFormat.superblockByteCount)))
        let superblock = try Superblock(
            parsing: try file.readArray(at: 0, byteCount: start, "superblock"), path: path,
            actualByteCount: status.byteCount)
        // The superblock's checks bound the length by the file's and by the limit.
        let bytes = try file.readArray(
            at: superblock.indexOffset, byteCount: Int(superblock.indexByteCount), "index")
        let checksum = XXH3.hash(bytes)
        guard checksum == superblock.indexChecksum else {
            throw ContainerError(
                .damaged, path: path, offset: superblock.indexOffset, field: "index.checksum",
                expected: hexadecimal(superblock.indexChecksum), found: hexadecimal(checksum))
        }
        let index = try ContainerIndex(parsing: bytes, path: path, fileOffset: superblock.indexOffset)
        self.path = path
        self.file = file
        metadata = index.metadata
        text = index.text
        let layerCount = metadata.configuration.layerCount
        let own = Records(of: index) { $0 < layerCount }
        tensors = own.tensors
        experts = own.experts
        refinements = own.refinements
        prediction = Records(of: index) { $0 >= layerCount }
        fileByteCount = superblock.fileByteCount
        indexChecksum = checksum
        indexByteCount = superblock.indexByteCount
        seen = Mutex(stamp.map { ($0, .same) })
    }

    /// Reads one tensor and verifies its checksum. Any thread.
    ///
    /// - Parameter destination: `record.byteCount` bytes. After an error they hold anything.
    package func readTensor(
        _ record: TensorRecord, into destination: UnsafeMutableRawPointer
    ) throws(ContainerError) {
        let buffer = unsafe UnsafeMutableRawBufferPointer(start: destination, count: record.byteCount)
        try unsafe file.read(at: record.offset, into: buffer, "\(record.key)")
        try unsafe verify(UnsafeRawBufferPointer(buffer), record.checksum, at: record.offset, "\(record.key)")
    }

    /// Reads one expert's blob and unpacks it. Any thread.
    ///
    /// - Parameters:
    ///   - destination: `record.byteCount` bytes. After an error they hold anything.
    ///   - scratch: at least `record.storedByteCount` bytes if the blob is packed; a stored one is read in place.
    ///   - verify: whether the stored bytes' checksum is compared. Unpacking is safe without it.
    package func readExpert(
        _ record: ExpertRecord, into destination: UnsafeMutableRawPointer, scratch: UnsafeMutableRawBufferPointer,
        verify: Bool
    ) throws(ContainerError) {
        let target = unsafe UnsafeMutableRawBufferPointer(start: destination, count: record.byteCount)
        guard record.codec == .lz4 else {
            try unsafe file.read(at: record.offset, into: target, "\(record.key)")
            if verify {
                try unsafe self.verify(
                    UnsafeRawBufferPointer(target), record.checksum, at: record.offset, "\(record.key)")
            }
            return
        }
        guard scratch.count >= record.storedByteCount else {
            throw ContainerError(
                .tooLarge, path: path, offset: record.offset, field: "\(record.key)",
                expected: "room for \(record.storedByteCount) packed bytes", found: "\(scratch.count) bytes")
        }
        let packed = unsafe UnsafeMutableRawBufferPointer(rebasing: scratch[..<record.storedByteCount])
        try unsafe file.read(at: record.offset, into: packed, "\(record.key)")
        if verify {
            try unsafe self.verify(UnsafeRawBufferPointer(packed), record.checksum, at: record.offset, "\(record.key)")
        }
        try unsafe unpack(UnsafeRawBufferPointer(packed), of: record, into: destination)
    }

    func unpack(
        _ packed: UnsafeRawBufferPointer, of record: ExpertRecord, into destination: UnsafeMutableRawPointer
    ) throws(ContainerError) {
        let target = unsafe UnsafeMutableRawBufferPointer(start: destination, count: record.byteCount)
        try unsafe unpack(packed, into: target, at: record.offset, "\(record.key)")
    }

    /// - Parameter target: of the unpacked size.
    func unpack(
        _ packed: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, at offset: UInt64,
        _ field: @autoclosure () -> String
    ) throws(ContainerError) {
        guard unsafe LZ4.unpack(packed, into: target) else {
            throw ContainerError(
                .damaged, path: path, offset: offset, field: field(),
                expected: "an LZ4 block of \(target.count) bytes", found: "a block that doesn't unpack to that")
        }
    }

    func verify(
        _ bytes: UnsafeRawBufferPointer, _ expected: UInt64, at offset: UInt64, _ field: @autoclosure () -> String
    ) throws(ContainerError) {
        let found = unsafe XXH3.hash(bytes)
        guard found == expected else {
            throw ContainerError(
                .damaged, path: path, offset: offset, field: "\(field()).checksum", expected: hexadecimal(expected),
                found: hexadecimal(found))
        }
    }
}

extension ContainerReader.Records {
    /// What belongs to some of the layers; the model's own tensors are with layer 0.
    init(of index: ContainerIndex, where isWanted: (Int) -> Bool) {
        tensors = index.tensors.filter { isWanted($0.key.layer ?? 0) }
        experts = index.experts.filter { isWanted($0.key.layer) }
        refinements = index.refinements.filter { isWanted($0.key.layer) }
    }
}

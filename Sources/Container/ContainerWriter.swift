package import Compute
internal import Glibc

/// Writes a container from front to back, one tensor or blob at a time.
///
/// The bytes go to `PATH.partial`, which becomes `PATH` only when everything is on the disk: tensors, blobs and index,
/// then the superblock, then the name. The order of the calls decides the order in the file, and the same calls give
/// the same bytes. One thread at a time.
///
/// A failure, and letting go of an unfinished writer, removes the partial file, unless a journal records arrays in it
/// that a later writer can take up (`ContainerWriter+Resuming.swift`).
package final class ContainerWriter {
    package let path: String

    let target: PartialFile
    /// Where the next array may begin.
    var end = UInt64(ContainerFormat.superblockByteCount)
    var tensors: [TensorKey: TensorRecord] = [:]
    var experts: [ExpertKey: ExpertRecord] = [:]
    var journal: WriterJournal?
    /// What an earlier writer left, until it is taken up.
    var remnant: JournalContents?
    private var unmarked = UnmarkedData()
    private var openTensor: OpenTensor?
    var isClosed = false

    /// - Parameters:
    ///   - replacing: whether a file of this name may be replaced; without it that is an error, now or, should the file
    ///     appear later, at the end. It also allows what an earlier writer left unfinished to be thrown away.
    ///   - resuming: whether what an earlier writer left is to be taken up, if there is anything.
    package init(path: String, replacing: Bool, resuming: Bool = false) throws(ContainerError) {
        self.path = path
        Self.tidy(path)
        target = try PartialFile(path: path, replacing: replacing)
        remnant = try Self.remnant(of: target, replacing: replacing, resuming: resuming)
    }

    deinit {
        if !isClosed { letGo() }
    }

    /// Appends a resident tensor.
    ///
    /// - Parameters:
    ///   - bytes: in the layout of `shape`, `shape.byteCount` of them.
    ///   - note: for the journal, if there is one.
    package func append(
        tensor key: TensorKey, shape: MatrixShape, table: CodeTable = .linear, bytes: UnsafeRawBufferPointer,
        note: [UInt8] = []
    ) throws(ContainerError) {
        try check("\(key)", byteCount: bytes.count, is: shape.checkedByteCount)
        try unsafe append(piece: bytes, ofTensor: key, shape: shape, table: table, note: note)
    }

    /// Appends the next bytes of a tensor that is too large to be in memory as a whole. It is complete, and counts,
    /// once there are `shape.byteCount` of them; nothing else can be appended before.
    ///
    /// - Returns: the record of the complete tensor.
    @discardableResult package func append(
        piece bytes: UnsafeRawBufferPointer, ofTensor key: TensorKey, shape: MatrixShape, table: CodeTable = .linear,
        note: [UInt8] = []
    ) throws(ContainerError) -> ArrayRecord? {
        guard tensors[key] == nil else { throw duplicate("\(key)") }
        let total = shape.checkedByteCount
        let earlier = openTensor?.key == key ? openTensor : nil
        let byteCount = bytes.count + (earlier?.byteCount ?? 0)
        guard let total, byteCount <= total else { throw wrongSize("\(key)", byteCount, expected: total) }
        let tensor: OpenTensor
        if let earlier {
            tensor = earlier
        } else {
            try checkNoneIsOpen("\(key)")
            tensor = try OpenTensor(key, at: nextOffset(ContainerFormat.tensorAlignment), path: path)
        }
        try unsafe write(bytes, at: tensor.offset + UInt64(tensor.byteCount), "\(key)")
        unsafe tensor.add(bytes)
        openTensor = tensor
        guard byteCount == total else { return nil }
        openTensor = nil
        let record = TensorRecord(
            key: key, shape: shape, table: table, offset: tensor.offset, byteCount: total, checksum: tensor.checksum)
        tensors[key] = record
        try enter(.tensor(record), note)
        return .tensor(record)
    }

    /// Packs and appends one expert's blob.
    ///
    /// - Parameter bytes: in the layout of `layout`, `layout.byteCount` of them.
    package func append(
        expert key: ExpertKey, layout: ExpertLayout, bytes: UnsafeRawBufferPointer, packing: Packing
    ) throws(ContainerError) {
        try unsafe append(expert: key, layout: layout, bytes: bytes, packed: PackedBlob(packing: bytes, packing))
    }

    /// Appends one expert's blob that was packed elsewhere, from the same `bytes`.
    @discardableResult package func append(
        expert key: ExpertKey, layout: ExpertLayout, bytes: UnsafeRawBufferPointer, packed blob: PackedBlob,
        note: [UInt8] = []
    ) throws(ContainerError) -> ArrayRecord {
        guard experts[key] == nil else { throw duplicate("\(key)") }
        try check("\(key)", byteCount: bytes.count, is: layout.byteCount)
        try check("\(key)", byteCount: blob.byteCount, is: layout.byteCount)
        try checkNoneIsOpen("\(key)")
        let offset = nextOffset(ContainerFormat.expertAlignment)
        if let packed = blob.packed {
            try unsafe packed.span.withUnsafeBytes { (buffer) throws(ContainerError) in
                try unsafe write(buffer, at: offset, "\(key)")
            }
        } else {
            try unsafe write(bytes, at: offset, "\(key)")
        }
        let record = ExpertRecord(
            key: key, layout: layout, offset: offset, storedByteCount: blob.storedByteCount, byteCount: blob.byteCount,
            codec: blob.codec, checksum: blob.checksum)
        experts[key] = record
        try enter(.expert(record), note)
        return .expert(record)
    }

    /// Writes index and superblock and gives the file its name. What the reader would refuse is refused here.
    ///
    /// - Returns: the index's checksum, the model's identity.
    @discardableResult package func finish(metadata: ModelMetadata, text: TextAssets) throws(ContainerError) -> UInt64 {
        var checksum: UInt64 = 0
        try closingOnFailure { () throws(ContainerError) in
            try checkNoneIsOpen("the index")
            let index = ContainerIndex(metadata: metadata, text: text, tensors: tensors, experts: experts)
            let bytes = try index.encoded(path: path)
            let offset = nextOffset(ContainerFormat.indexAlignment)
            _ = try ContainerIndex(parsing: bytes, path: path, fileOffset: offset)
            try unsafe bytes.span.withUnsafeBytes { (buffer) throws(ContainerError) in
                try unsafe place(buffer, at: offset, "index")
            }
            try synchronizeData()
            checksum = XXH3.hash(bytes)
            let superblock = Superblock(
                fileByteCount: end, indexOffset: offset, indexByteCount: UInt64(bytes.count), indexChecksum: checksum)
            try target.file.write(superblock.encoded(), at: 0, "superblock")
            try synchronizeData()
            try target.publish()
            journal?.remove()
            isClosed = true
        }
        return checksum
    }
}

// MARK: Writing

extension ContainerWriter {
    private func nextOffset(_ alignment: Int) -> UInt64 { ContainerFormat.aligned(end, to: alignment) }

    private func write(
        _ bytes: UnsafeRawBufferPointer, at offset: UInt64, _ field: @autoclosure () -> String
    ) throws(ContainerError) {
        try closingOnFailure { () throws(ContainerError) in
            // Before this array and not after the last one: the kernel has had the time between to write that one.
            if journal != nil, unmarked.isDue { try mark() }
            try unsafe place(bytes, at: offset, field())
        }
    }

    private func place(
        _ bytes: UnsafeRawBufferPointer, at offset: UInt64, _ field: @autoclosure () -> String
    ) throws(ContainerError) {
        try target.file.write([UInt8](repeating: 0, count: Int(offset - end)), at: end, "padding")
        try unsafe target.file.write(bytes, at: offset, field())
        end = offset + UInt64(bytes.count)
        unmarked.add(bytes.count)
    }

    /// Enters a complete array into the journal.
    private func enter(_ record: ArrayRecord, _ note: [UInt8]) throws(ContainerError) {
        guard let journal else { return }
        try closingOnFailure { () throws(ContainerError) in try journal.append(record, note: note) }
    }

    private func mark() throws(ContainerError) {
        try synchronizeData()
        try journal?.mark()
        unmarked = UnmarkedData()
    }

    private func synchronizeData() throws(ContainerError) {
        do throws(ContainerError) {
            try target.file.synchronize()
        } catch {
            journal?.forgetUnmarked()
            throw error
        }
    }

    func closingOnFailure(_ body: () throws(ContainerError) -> Void) throws(ContainerError) {
        guard !isClosed else {
            throw ContainerError(
                .closed, path: path, field: "writer", expected: "an open writer",
                found: "one that has finished or failed")
        }
        do {
            try body()
        } catch {
            isClosed = true
            letGo()
            throw error
        }
    }

    private func checkNoneIsOpen(_ name: String) throws(ContainerError) {
        guard let openTensor else { return }
        throw ContainerError(
            .missing, path: path, field: "\(openTensor.key)", expected: "the rest of it",
            found: name)
    }

    private func duplicate(_ name: String) -> ContainerError {
        ContainerError(.duplicate, path: path, field: name, expected: "it once", found: "it again")
    }

    private func check(_ name: String, byteCount: Int, is expected: Int?) throws(ContainerError) {
        guard byteCount == expected else { throw wrongSize(name, byteCount, expected: expected) }
    }

    private func wrongSize(_ name: String, _ byteCount: Int, expected: Int?) -> ContainerError {
        ContainerError(
            .wrongShape, path: path, field: name, expected: expected.map { "\($0) bytes" } ?? "a storable shape",
            found: "\(byteCount) bytes")
    }
}

/// A tensor of which some bytes are still to come.
private final class OpenTensor {
    let key: TensorKey
    let offset: UInt64
    private(set) var byteCount = 0
    private var stream: XXH3.Stream

    init(_ key: TensorKey, at offset: UInt64, path: String) throws(ContainerError) {
        guard let stream = XXH3.Stream() else {
            throw ContainerError(
                .system, path: path, field: "\(key)", expected: "memory for a checksum", found: "none", errno: ENOMEM)
        }
        self.key = key
        self.offset = offset
        self.stream = stream
    }

    func add(_ bytes: UnsafeRawBufferPointer) {
        unsafe stream.update(bytes)
        byteCount += bytes.count
    }

    var checksum: UInt64 { stream.finalize() }
}

/// How much has been written since the journal's last mark. A mark makes the disk wait, and what comes after it is
/// checked when a conversion is resumed.
private struct UnmarkedData {
    private static let byteLimit = 64 << 20
    private static let timeLimit = Duration.seconds(1)

    private var byteCount = 0
    private var start: ContinuousClock.Instant?

    mutating func add(_ byteCount: Int) {
        self.byteCount += byteCount
        start = start ?? .now
    }

    var isDue: Bool {
        byteCount >= Self.byteLimit || start.map { ContinuousClock.now - $0 >= Self.timeLimit } ?? false
    }
}

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
    private static let copyByteCount = 8 << 20

    let target: PartialFile
    /// Where the next array may begin.
    var end = UInt64(ContainerFormat.superblockByteCount)
    var tensors: [TensorKey: TensorRecord] = [:]
    package internal(set) var experts: [ExpertKey: ExpertRecord] = [:]
    var refinements: [ExpertKey: RefinementRecord] = [:]
    var journal: WriterJournal?
    /// What an earlier writer left, until it is taken up.
    var remnant: JournalContents?
    private var unmarked = UnmarkedData()
    private var openArray: OpenArray?
    var isClosed = false

    /// - Parameters:
    ///   - replacing: whether a file of this name may be replaced; without it that is an error, now or, should the file
    ///     appear later, at the end. It also allows what an earlier writer left unfinished to be thrown away.
    ///   - resuming: whether what an earlier writer left is to be taken up, if there is anything.
    package init(path: String, replacing: Bool, resuming: Bool = false) throws(ContainerError) {
        Self.tidy(path)
        let target = try PartialFile(path: path, replacing: replacing)
        // Before there is a writer, whose end would remove what must stay.
        let remnant = try Self.remnant(of: target, replacing: replacing, resuming: resuming)
        self.path = path
        self.target = target
        self.remnant = remnant
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
        let earlier = openArray?.name == "\(key)" ? openArray : nil
        let byteCount = bytes.count + (earlier?.byteCount ?? 0)
        guard let total, byteCount <= total else { throw wrongSize("\(key)", byteCount, expected: total) }
        let tensor: OpenArray
        if let earlier {
            tensor = earlier
        } else {
            try checkNoneIsOpen("\(key)")
            tensor = try OpenArray("\(key)", at: nextOffset(ContainerFormat.tensorAlignment), path: path)
        }
        try unsafe write(bytes, at: tensor.offset + UInt64(tensor.byteCount), "\(key)")
        unsafe tensor.add(bytes)
        openArray = tensor
        guard byteCount == total else { return nil }
        openArray = nil
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
        let offset = try unsafe write(bytes, packed: blob, "\(key)")
        let record = ExpertRecord(
            key: key, layout: layout, offset: offset, storedByteCount: blob.storedByteCount, byteCount: blob.byteCount,
            codec: blob.codec, checksum: blob.checksum)
        experts[key] = record
        try enter(.expert(record), note)
        return .expert(record)
    }

    /// Appends the plane that refines an expert, whose blob was appended just before.
    ///
    /// - Parameter bytes: in the layout of `layout`, `layout.byteCount` of them, from which `blob` was packed.
    @discardableResult package func append(
        refinementOf key: ExpertKey, layout: RefinementLayout, bytes: UnsafeRawBufferPointer, packed blob: PackedBlob,
        note: [UInt8] = []
    ) throws(ContainerError) -> ArrayRecord {
        let name = "\(key).refinement"
        guard refinements[key] == nil else { throw duplicate(name) }
        try check(name, byteCount: bytes.count, is: layout.byteCount)
        try check(name, byteCount: blob.byteCount, is: layout.byteCount)
        let record = RefinementRecord(
            key: key, layout: layout, offset: nextOffset(ContainerFormat.expertAlignment),
            storedByteCount: blob.storedByteCount, byteCount: blob.byteCount, codec: blob.codec,
            checksum: blob.checksum)
        guard isBehindItsExpert(record) else {
            throw ContainerError(
                .missing, path: path, field: name, expected: "\(key) before it", found: "something else")
        }
        _ = try unsafe write(bytes, packed: blob, name)
        refinements[key] = record
        try enter(.refinement(record), note)
        return .refinement(record)
    }

    /// Appends what another container has, as it is stored there, and to the same place.
    ///
    /// - Throws: `.damaged` if the bytes don't have their checksum.
    package func append(copyOf record: ArrayRecord, from reader: ContainerReader) throws(ContainerError) {
        try checkNoneIsOpen(record.name)
        guard nextOffset(record.alignment) == record.offset else {
            throw ContainerError(
                .badRange, path: path, field: record.name, expected: "\(nextOffset(record.alignment))",
                found: "\(record.offset)")
        }
        let copy = try OpenArray(record.name, at: record.offset, path: path)
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: min(record.storedByteCount, Self.copyByteCount), alignment: 64)
        defer { unsafe buffer.deallocate() }
        while copy.byteCount < record.storedByteCount {
            let count = min(buffer.count, record.storedByteCount - copy.byteCount)
            let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            let place = record.offset + UInt64(copy.byteCount)
            try unsafe reader.file.read(at: place, into: piece, record.name)
            try unsafe write(UnsafeRawBufferPointer(piece), at: place, record.name)
            unsafe copy.add(UnsafeRawBufferPointer(piece))
        }
        guard copy.checksum == record.checksum else {
            throw ContainerError(
                .damaged, path: reader.path, offset: record.offset, field: "\(record.name).checksum",
                expected: hexadecimal(record.checksum), found: hexadecimal(copy.checksum))
        }
        switch record {
        case .tensor(let record): tensors[record.key] = record
        case .expert(let record): experts[record.key] = record
        case .refinement(let record): refinements[record.key] = record
        }
    }

    /// Writes index and superblock and gives the file its name. What the reader would refuse is refused here.
    ///
    /// - Parameter indexChecksum: what the index must have, if the file is to be the same as another.
    package func finish(
        metadata: ModelMetadata, text: TextAssets, indexChecksum: UInt64? = nil
    ) throws(ContainerError) {
        try closingOnFailure { () throws(ContainerError) in
            try checkNoneIsOpen("the index")
            let index = ContainerIndex(
                metadata: metadata, text: text, tensors: tensors, experts: experts, refinements: refinements)
            let bytes = try index.encoded(path: path)
            let checksum = XXH3.hash(bytes)
            guard checksum == indexChecksum ?? checksum else {
                throw ContainerError(
                    .damaged, path: path, field: "index.checksum",
                    expected: hexadecimal(indexChecksum ?? checksum), found: hexadecimal(checksum),
                    advice: "This version writes another index; convert the checkpoint again.")
            }
            let offset = nextOffset(ContainerFormat.indexAlignment)
            _ = try ContainerIndex(parsing: bytes, path: path, fileOffset: offset)
            try unsafe bytes.span.withUnsafeBytes { (buffer) throws(ContainerError) in
                try unsafe place(buffer, at: offset, "index")
            }
            try synchronizeData()
            let superblock = Superblock(
                fileByteCount: end, indexOffset: offset, indexByteCount: UInt64(bytes.count), indexChecksum: checksum)
            try target.file.write(superblock.encoded(), at: 0, "superblock")
            try synchronizeData()
            try target.publish()
            journal?.remove()
            isClosed = true
        }
    }
}

// MARK: Writing

extension ContainerWriter {
    private func nextOffset(_ alignment: Int) -> UInt64 { ContainerFormat.aligned(end, to: alignment) }

    /// Whether a refinement stands directly behind a blob that it can refine.
    func isBehindItsExpert(_ record: RefinementRecord) -> Bool {
        guard let expert = experts[record.key], expert.layout.canBeRefined(by: record.layout) else { return false }
        let end = expert.offset + UInt64(expert.storedByteCount)
        return record.offset == ContainerFormat.aligned(end, to: ContainerFormat.expertAlignment)
    }

    /// - Returns: where the blob begins.
    private func write(
        _ bytes: UnsafeRawBufferPointer, packed blob: PackedBlob, _ name: String
    ) throws(ContainerError) -> UInt64 {
        try checkNoneIsOpen(name)
        let offset = nextOffset(ContainerFormat.expertAlignment)
        if let packed = blob.packed {
            try unsafe packed.span.withUnsafeBytes { (buffer) throws(ContainerError) in
                try unsafe write(buffer, at: offset, name)
            }
        } else {
            try unsafe write(bytes, at: offset, name)
        }
        return offset
    }

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
        guard let openArray else { return }
        throw ContainerError(
            .missing, path: path, field: openArray.name, expected: "the rest of it",
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

/// A tensor or blob of which some bytes are still to come.
private final class OpenArray {
    let name: String
    let offset: UInt64
    private(set) var byteCount = 0
    private var stream: XXH3.Stream

    init(_ name: String, at offset: UInt64, path: String) throws(ContainerError) {
        guard let stream = XXH3.Stream() else {
            throw ContainerError(
                .system, path: path, field: name, expected: "memory for a checksum", found: "none", errno: ENOMEM)
        }
        self.name = name
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

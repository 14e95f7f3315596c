package import Compute

/// Writes a container from front to back, one tensor or blob at a time.
///
/// The bytes go to `PATH.partial`, which becomes `PATH` only when everything is on the disk: tensors, blobs and index,
/// then the superblock, then the name. Any failure, and letting go of an unfinished writer, removes the partial file.
/// The order of the calls decides the order in the file, and the same calls give the same bytes. One thread at a time.
package final class ContainerWriter {
    package let path: String

    private let target: PartialFile
    private var end = UInt64(ContainerFormat.superblockByteCount)
    private var tensors: [TensorKey: TensorRecord] = [:]
    private var experts: [ExpertKey: ExpertRecord] = [:]
    private var isClosed = false

    /// - Parameter replacing: whether a file of this name may be replaced; without it that is an error, now or, should
    ///   the file appear later, at the end.
    package init(path: String, replacing: Bool) throws(ContainerError) {
        self.path = path
        target = try PartialFile(path: path, replacing: replacing)
    }

    /// Appends a resident tensor.
    ///
    /// - Parameter bytes: in the layout of `shape`, `shape.byteCount` of them.
    package func append(
        tensor key: TensorKey, shape: MatrixShape, table: CodeTable = .linear, bytes: UnsafeRawBufferPointer
    ) throws(ContainerError) {
        guard tensors[key] == nil else { throw duplicate("\(key)") }
        try check("\(key)", byteCount: bytes.count, is: shape.checkedByteCount)
        let offset = try unsafe write(bytes, alignment: ContainerFormat.tensorAlignment, "\(key)")
        tensors[key] = unsafe TensorRecord(
            key: key, shape: shape, table: table, offset: offset, byteCount: bytes.count, checksum: XXH3.hash(bytes))
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
    package func append(
        expert key: ExpertKey, layout: ExpertLayout, bytes: UnsafeRawBufferPointer, packed blob: PackedBlob
    ) throws(ContainerError) {
        guard experts[key] == nil else { throw duplicate("\(key)") }
        try check("\(key)", byteCount: bytes.count, is: layout.byteCount)
        try check("\(key)", byteCount: blob.byteCount, is: layout.byteCount)
        let offset: UInt64
        if let packed = blob.packed {
            offset = try write(packed, alignment: ContainerFormat.expertAlignment, "\(key)")
        } else {
            offset = try unsafe write(bytes, alignment: ContainerFormat.expertAlignment, "\(key)")
        }
        experts[key] = ExpertRecord(
            key: key, layout: layout, offset: offset, storedByteCount: blob.storedByteCount, byteCount: blob.byteCount,
            codec: blob.codec, checksum: blob.checksum)
    }

    /// Writes index and superblock and gives the file its name. What the reader would refuse is refused here.
    package func finish(metadata: ModelMetadata, text: TextAssets) throws(ContainerError) {
        try closingOnFailure { () throws(ContainerError) in
            let index = ContainerIndex(metadata: metadata, text: text, tensors: tensors, experts: experts)
            let bytes = try index.encoded(path: path)
            let offset = ContainerFormat.aligned(end, to: ContainerFormat.indexAlignment)
            _ = try ContainerIndex(parsing: bytes, path: path, fileOffset: offset)
            _ = try write(bytes, alignment: ContainerFormat.indexAlignment, "index")
            try target.file.synchronize()
            let superblock = Superblock(
                fileByteCount: end, indexOffset: offset, indexByteCount: UInt64(bytes.count),
                indexChecksum: XXH3.hash(bytes))
            try target.file.write(superblock.encoded(), at: 0, "superblock")
            try target.file.synchronize()
            try target.publish()
            isClosed = true
        }
    }

    private func write(
        _ bytes: UnsafeRawBufferPointer, alignment: Int, _ field: String
    ) throws(ContainerError) -> UInt64 {
        var offset: UInt64 = 0
        try closingOnFailure { () throws(ContainerError) in
            offset = ContainerFormat.aligned(end, to: alignment)
            try target.file.write([UInt8](repeating: 0, count: Int(offset - end)), at: end, "padding")
            try unsafe target.file.write(bytes, at: offset, field)
            end = offset + UInt64(bytes.count)
        }
        return offset
    }

    private func write(_ bytes: [UInt8], alignment: Int, _ field: String) throws(ContainerError) -> UInt64 {
        try unsafe bytes.span.withUnsafeBytes { (buffer) throws(ContainerError) in
            try unsafe write(buffer, alignment: alignment, field)
        }
    }

    private func closingOnFailure(_ body: () throws(ContainerError) -> Void) throws(ContainerError) {
        guard !isClosed else {
            throw ContainerError(
                .closed, path: path, field: "writer", expected: "an open writer",
                found: "one that has finished or failed")
        }
        do {
            try body()
        } catch {
            isClosed = true
            target.remove()
            throw error
        }
    }

    private func duplicate(_ name: String) -> ContainerError {
        ContainerError(.duplicate, path: path, field: name, expected: "it once", found: "it again")
    }

    private func check(_ name: String, byteCount: Int, is expected: Int?) throws(ContainerError) {
        guard let expected, byteCount == expected else {
            throw ContainerError(
                .wrongShape, path: path, field: name, expected: expected.map { "\($0) bytes" } ?? "a storable shape",
                found: "\(byteCount) bytes")
        }
    }
}

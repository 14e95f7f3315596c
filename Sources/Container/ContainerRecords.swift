package import Compute

/// One resident tensor of the file. A vector has one row and the layout `.rows`.
package struct TensorRecord: Sendable, Equatable {
    package let key: TensorKey
    package let shape: MatrixShape
    package let table: CodeTable
    package let offset: UInt64
    /// `shape.byteCount`.
    package let byteCount: Int
    /// XXH3-64 of the bytes.
    package let checksum: UInt64
}

/// One routed expert's blob in the file.
package struct ExpertRecord: Sendable, Equatable {
    package let key: ExpertKey
    package let layout: ExpertLayout
    package let offset: UInt64
    /// Bytes in the file.
    package let storedByteCount: Int
    /// Bytes once unpacked, `layout.byteCount`.
    package let byteCount: Int
    package let codec: Codec
    /// XXH3-64 of the stored bytes.
    package let checksum: UInt64
}

/// The plane that refines one routed expert, directly behind its blob in the file.
package struct RefinementRecord: Sendable, Equatable {
    package let key: ExpertKey
    package let layout: RefinementLayout
    package let offset: UInt64
    /// Bytes in the file.
    package let storedByteCount: Int
    /// Bytes once unpacked, `layout.byteCount`.
    package let byteCount: Int
    package let codec: Codec
    /// XXH3-64 of the stored bytes.
    package let checksum: UInt64

    /// For messages.
    package var name: String { "\(key).refinement" }
}

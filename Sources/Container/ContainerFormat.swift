/// The numbers of the `.moe` format that are more than one part's business. `FORMAT.md` says what they mean.
package enum ContainerFormat {
    /// Not text, not UTF-8, and broken by any conversion of line ends.
    static let magic: [UInt8] = [0x89, 0x4D, 0x4F, 0x45, 0x0D, 0x0A, 0x1A, 0x0A]
    package static let majorVersion: UInt16 = 1
    package static let minorVersion: UInt16 = 5

    package static let superblockByteCount = 4096
    package static let tensorAlignment = 64
    package static let expertAlignment = 16 * 1024
    static let indexAlignment = 64
    static let indexHeaderByteCount = 64
    static let indexSectionAlignment = 8
    static let recordByteCount = 64
    /// What stands in a record where there is no layer or no expert.
    static let noNumber = UInt32.max

    package static let indexByteLimit = 256 * 1024 * 1024
    /// Decoding JSON takes up to 40 times its size, so this also bounds the memory that opening a file takes.
    package static let metadataByteLimit = 1024 * 1024
    static let metadataDepthLimit = 64

    static func aligned(_ offset: UInt64, to alignment: Int) -> UInt64 {
        let alignment = UInt64(alignment)
        return (offset + alignment - 1) / alignment * alignment
    }
}

/// What a record of the index describes.
enum RecordKind: UInt8 {
    case tensor = 1
    case expert = 2
    /// A second plane that makes an expert's `q4` matrices into `q8` ones.
    case refinement = 3
}

/// How the bytes of a blob are stored.
package enum Codec: UInt8, Sendable {
    case stored = 0
    /// One LZ4 block without a frame.
    case lz4 = 1
}

/// When an expert's blob is stored packed.
package enum Packing: String, Codable, Sendable, CaseIterable {
    /// When that saves at least 10 %.
    case auto
    case always
    case never
}

import Container
import Glibc
import TestSupport

/// A container's bytes, to be changed: a second, independent reading of `FORMAT.md`.
package struct ContainerImage {
    package var bytes: [UInt8]

    package init(_ model: SmallModel) throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/image.moe"
        try model.write(to: path)
        bytes = try ScratchFile.contents(of: path)
    }

    package static let superblockByteCount = 4096
    package static let recordByteCount = 64
    /// Places of fields inside a record.
    package enum Field {
        package static let kind = 0
        package static let codec = 1
        package static let role = 2
        package static let layer = 4
        package static let expert = 8
        package static let format = 12
        package static let table = 13
        package static let layout = 14
        package static let downTable = 15
        package static let rows = 16
        package static let columns = 24
        package static let offset = 32
        package static let storedByteCount = 40
        package static let byteCount = 48
        package static let checksum = 56
    }

    package var indexOffset: Int { Int(self[24]) }
    package var metadataByteCount: Int { Int(self[indexOffset]) }
    package var metadata: String {
        String(decoding: bytes[(indexOffset + 64)...].prefix(metadataByteCount), as: UTF8.self)
    }
    package var recordCount: Int { Int(self[indexOffset + 32]) }
    package var recordsOffset: Int { bytes.count - recordCount * Self.recordByteCount }

    package func record(_ number: Int) -> Int { recordsOffset + number * Self.recordByteCount }
    package var firstRefinement: Int { (0..<recordCount).first { bytes[record($0)] == 3 }.map(record) ?? 0 }
    package var firstExpert: Int { (0..<recordCount).first { bytes[record($0)] == 2 }.map(record) ?? 0 }

    /// Eight bytes as a number.
    package subscript(_ offset: Int) -> UInt64 {
        get { bytes[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        set {
            for place in 0..<8 { bytes[offset + place] = UInt8(truncatingIfNeeded: newValue >> (8 * UInt64(place))) }
        }
    }

    package mutating func replaceMetadata(with json: [UInt8]) {
        let records = Array(bytes[(indexOffset + 64 + padded(metadataByteCount))...])
        bytes.removeSubrange((indexOffset + 64)...)
        bytes += json + [UInt8](repeating: 0, count: padded(json.count) - json.count) + records
        self[indexOffset] = UInt64(json.count)
        self[16] = UInt64(bytes.count)
        self[32] = UInt64(bytes.count - indexOffset)
    }

    private func padded(_ count: Int) -> Int { (count + 7) / 8 * 8 }

    /// Makes the checksums of index and superblock right again.
    package mutating func seal() { Self.seal(&bytes) }

    /// - Parameter bytes: anything; what has no place for a checksum stays as it is.
    package static func seal(_ bytes: inout [UInt8]) {
        guard bytes.count >= superblockByteCount else { return }
        func put(_ value: UInt64, _ offset: Int) {
            for place in 0..<8 { bytes[offset + place] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(place))) }
        }
        let offset = bytes[24..<32].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        if offset <= UInt64(bytes.count) {
            let checksum = bytes.withUnsafeBytes { XXH3.hash(UnsafeRawBufferPointer(rebasing: $0[Int(offset)...])) }
            put(checksum, 40)
        }
        put(bytes.withUnsafeBytes { XXH3.hash(UnsafeRawBufferPointer(rebasing: $0[..<4088])) }, 4088)
    }
}

/// A file in memory that is rewritten again and again.
package final class ScratchFile {
    package let path: String
    private let descriptor: CInt
    private let directory: TemporaryDirectory

    package init() throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/scratch.moe"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SystemCallFailure(call: "open", code: errno) }
    }

    deinit { close(descriptor) }

    package func write(_ bytes: ArraySlice<UInt8>, at offset: Int) throws {
        let count = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, offset) }
        guard count == bytes.count else { throw SystemCallFailure(call: "pwrite", code: errno) }
    }

    package func truncate(to byteCount: Int) throws {
        guard ftruncate(descriptor, byteCount) == 0 else { throw SystemCallFailure(call: "ftruncate", code: errno) }
    }

    package func replace(with bytes: [UInt8]) throws {
        try truncate(to: bytes.count)
        try write(bytes[...], at: 0)
    }

    package static func contents(of path: String) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemCallFailure(call: "open", code: errno) }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Int(lseek(descriptor, 0, SEEK_END)))
        let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
        guard count == bytes.count else { throw SystemCallFailure(call: "pread", code: errno) }
        return bytes
    }
}

internal import CLZ4

/// An expert's blob as it will be stored: the result of the part of writing that takes time, made on any thread.
package struct PackedBlob: Sendable {
    package let codec: Codec
    /// The packed bytes; nil when the blob is stored as it is.
    let packed: [UInt8]?
    /// Of the unpacked blob.
    package let byteCount: Int
    /// XXH3-64 of the bytes that will be stored.
    package let checksum: UInt64

    package var storedByteCount: Int { packed?.count ?? byteCount }

    /// Packs `bytes` and computes the checksum. The same bytes give the same result, wherever it is done.
    package init(packing bytes: UnsafeRawBufferPointer, _ packing: Packing) {
        byteCount = bytes.count
        packed = unsafe LZ4.pack(bytes, packing)
        codec = packed == nil ? .stored : .lz4
        checksum = unsafe packed.map { XXH3.hash($0) } ?? XXH3.hash(bytes)
    }
}

/// LZ4 blocks without a frame: `LZ4_compress_HC` and `LZ4_decompress_safe` of liblz4.
enum LZ4 {
    /// LZ4_MAX_INPUT_SIZE.
    static let inputByteLimit = 0x7E00_0000
    /// No byte of a block makes more than this many.
    static let greatestRatio = 255

    /// What packing has to save, one part of so many. Unpacking costs time of processors that have a token to compute: where
    /// storage reads 90 MB/s a tenth less to read is worth it, where it reads 250 MB/s a tenth is even and a fifth is.
    private static let worthwhilePart = 10

    /// The longest block that a compressor makes: `LZ4_compressBound`.
    static func longestPacked(_ byteCount: Int) -> Int { byteCount + byteCount / 255 + 16 }

    /// The packed form if the rule asks for it.
    fileprivate static func pack(_ bytes: UnsafeRawBufferPointer, _ packing: Packing) -> [UInt8]? {
        guard packing != .never, 1...inputByteLimit ~= bytes.count else { return nil }
        let capacity = longestPacked(bytes.count)
        guard packing == .auto else {
            let level = unsafe worthwhileLevel(bytes)
            return unsafe compressed(capacity: capacity) { unsafe compressHC(bytes, $0, level) }
        }
        // Well-scaled codes don't compress at all, and finding that out the thorough way takes 30 times longer.
        let fast = unsafe compressed(capacity: capacity) { target in
            unsafe LZ4_compress_default(
                bytes.baseAddress, target.baseAddress, CInt(bytes.count), CInt(target.count))
        }
        guard let fast, fast.count < bytes.count - bytes.count / 64 else { return nil }
        let limit = bytes.count - (bytes.count + worthwhilePart - 1) / worthwhilePart
        guard limit > 0 else { return nil }
        let level = unsafe worthwhileLevel(bytes)
        if let packed = unsafe compressed(capacity: limit, { unsafe compressHC(bytes, $0, level) }) { return packed }
        // So close to the limit the thorough level may still reach it.
        guard level < LZ4HC_CLEVEL_DEFAULT else { return nil }
        return unsafe compressed(capacity: limit) { unsafe compressHC(bytes, $0, LZ4HC_CLEVEL_DEFAULT) }
    }

    /// The thorough level takes ten times as long. On a float's noisy digits it gains next to nothing, on codes of low
    /// entropy a lot, and a sample from the middle tells which.
    private static func worthwhileLevel(_ bytes: UnsafeRawBufferPointer) -> CInt {
        let count = min(bytes.count, max(sampleByteCount, bytes.count / 64))
        let start = (bytes.count - count) / 2
        let sample = unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<start + count])
        let sizes = [quickLevel, LZ4HC_CLEVEL_DEFAULT].map { level in
            unsafe compressed(capacity: longestPacked(count)) { unsafe compressHC(sample, $0, level) }?.count ?? count
        }
        return sizes[1] < sizes[0] - sizes[0] / 10 ? LZ4HC_CLEVEL_DEFAULT : quickLevel
    }

    private static let sampleByteCount = 16 << 10
    /// The least level at which LZ4_compress_HC follows chains of matches.
    private static let quickLevel: CInt = 3

    private static func compressHC(
        _ bytes: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<CChar>, _ level: CInt
    ) -> CInt {
        unsafe LZ4_compress_HC(
            bytes.baseAddress, target.baseAddress, CInt(bytes.count), CInt(target.count), level)
    }

    /// nil when the result doesn't fit into the capacity.
    private static func compressed(
        capacity: Int, _ compress: (UnsafeMutableBufferPointer<CChar>) -> CInt
    ) -> [UInt8]? {
        let result = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, initializedCount in
            let target = unsafe UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: capacity)
            initializedCount = max(0, Int(unsafe compress(target.bindMemory(to: CChar.self))))
        }
        return result.isEmpty ? nil : result
    }

    /// True if `block` is sound and unpacks to exactly as many bytes as `destination` has.
    static func unpack(_ block: UnsafeRawBufferPointer, into destination: UnsafeMutableRawBufferPointer) -> Bool {
        guard block.count <= CInt.max, destination.count <= CInt.max else { return false }
        let count = unsafe LZ4_decompress_safe(
            block.baseAddress, destination.baseAddress, CInt(block.count), CInt(destination.count))
        return Int(count) == destination.count
    }
}

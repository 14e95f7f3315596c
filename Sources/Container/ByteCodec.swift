/// Builds little-endian bytes.
struct ByteWriter {
    private(set) var bytes: [UInt8] = []

    mutating func append(_ value: some FixedWidthInteger & UnsignedInteger) {
        for shift in stride(from: 0, to: value.bitWidth, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    mutating func append(contentsOf other: some Sequence<UInt8>) { bytes.append(contentsOf: other) }

    mutating func appendZeros(upTo byteCount: Int) {
        bytes.append(contentsOf: repeatElement(0, count: max(0, byteCount - bytes.count)))
    }

    mutating func pad(to alignment: Int) { appendZeros(upTo: (bytes.count + alignment - 1) / alignment * alignment) }
}

/// Reads little-endian bytes that come from a file and may say anything: every step is bounded by what is there.
struct ByteReader {
    private let bytes: [UInt8]
    /// The file's path and the place of the first byte in it, for errors.
    let path: String
    let fileOffset: UInt64
    private(set) var position = 0

    init(_ bytes: [UInt8], path: String, fileOffset: UInt64) {
        self.bytes = bytes
        self.path = path
        self.fileOffset = fileOffset
    }

    var remaining: Int { bytes.count - position }

    /// The place of the next byte in the file.
    var offset: UInt64 { fileOffset + UInt64(position) }

    mutating func read<T: FixedWidthInteger & UnsignedInteger>(
        _ field: String, as type: T.Type = T.self
    ) throws(ContainerError) -> T {
        let range = try take(UInt64(T.bitWidth / 8), field)
        var value: T = 0
        for index in range.reversed() { value = value << 8 | T(truncatingIfNeeded: bytes[index]) }
        return value
    }

    mutating func readBytes(_ byteCount: UInt64, _ field: String) throws(ContainerError) -> ArraySlice<UInt8> {
        bytes[try take(byteCount, field)]
    }

    /// Reads bytes that the format reserves.
    mutating func readZeros(_ byteCount: Int, _ field: String) throws(ContainerError) {
        let start = offset
        let range = try take(UInt64(byteCount), field)
        guard let place = range.first(where: { bytes[$0] != 0 }) else { return }
        throw ContainerError(
            .malformed, path: path, offset: start + UInt64(place - range.lowerBound), field: field, expected: "0",
            found: "\(bytes[place])")
    }

    mutating func skipPadding(to alignment: Int, _ field: String) throws(ContainerError) {
        try readZeros((alignment - position % alignment) % alignment, field)
    }

    private mutating func take(_ byteCount: UInt64, _ field: String) throws(ContainerError) -> Range<Int> {
        guard byteCount <= UInt64(remaining) else {
            throw ContainerError(
                .malformed, path: path, offset: offset, field: field, expected: "at most \(remaining) bytes",
                found: "\(byteCount) bytes")
        }
        let start = position
        position += Int(byteCount)
        return start..<position
    }
}

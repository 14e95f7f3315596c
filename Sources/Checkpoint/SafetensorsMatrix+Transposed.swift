/// Matrices whose rows are columns in the file, as gpt-oss' experts in floats are.
extension SafetensorsMatrix {
    var isTransposed: Bool { columnStride > rowStride }

    /// Bytes of the file that are in memory at once, unless a single column has more.
    private static let blockByteCount = 1 << 19

    func readRows(
        _ ranges: [Range<Int>], into destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        if isTransposed {
            try unsafe readTransposed(ranges, into: destination)
        } else {
            try unsafe readEach(ranges, into: destination)
        }
    }

    /// Goes through the columns once and picks the rows of all ranges, which ascend.
    func readTransposed(
        _ ranges: [Range<Int>], into destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        guard element != .f32 else {
            try unsafe gather(ranges, into: UnsafeMutableRawBufferPointer(destination), as: UInt32.self)
            return try unsafe checkFinite(destination, of: ranges)
        }
        precondition(element.byteCount == 2 && scale == nil && packedScale == nil)
        let raw = UnsafeMutableRawBufferPointer.allocate(
            byteCount: destination.count * element.byteCount, alignment: 64)
        defer { unsafe raw.deallocate() }
        try unsafe gather(ranges, into: raw, as: UInt16.self)
        unsafe FloatReading.convert(element, UnsafeRawBufferPointer(raw), into: destination)
        try unsafe checkFinite(destination, of: ranges)
    }

    /// - Parameters:
    ///   - raw: gets the elements, [rows of the ranges, columns].
    ///   - type: as large as an element.
    private func gather<Element>(
        _ ranges: [Range<Int>], into raw: UnsafeMutableRawBufferPointer, as type: Element.Type
    ) throws(CheckpointError) {
        guard let first = ranges.first?.lowerBound, let end = ranges.last?.upperBound, first < end else { return }
        let size = MemoryLayout<Element>.size
        // What is between columns is read along if it is less than what is needed of them.
        let span = (end - first - 1) * rowStride + 1
        let isWhole = 2 * span > columnStride
        let pitch = isWhole ? columnStride : span
        let columnsAtOnce = min(columns, max(1, Self.blockByteCount / (pitch * size)))
        let block = UnsafeMutableBufferPointer<Element>.allocate(capacity: columnsAtOnce * pitch)
        defer { unsafe block.deallocate() }
        let bytes = UnsafeMutableRawBufferPointer(block)
        let target = unsafe raw.assumingMemoryBound(to: Element.self)
        for column in stride(from: 0, to: columns, by: columnsAtOnce) {
            let count = min(columnsAtOnce, columns - column)
            let place = offset + (first * rowStride + column * columnStride) * size
            if isWhole {
                let length = ((count - 1) * pitch + span) * size
                try unsafe file.file.read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<length]), at: place)
            } else {
                for index in 0..<count {
                    let start = index * pitch * size
                    try unsafe file.file.read(
                        into: UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + pitch * size]),
                        at: place + index * columnStride * size)
                }
            }
            var row = 0
            for range in ranges {
                for source in range {
                    let from = (source - first) * rowStride
                    let to = row * columns + column
                    for index in 0..<count { unsafe target[to + index] = block[index * pitch + from] }
                    row += 1
                }
            }
        }
    }
}

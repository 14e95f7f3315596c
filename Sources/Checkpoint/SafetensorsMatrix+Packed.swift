import Compute
import Container

/// Matrices of 4-bit codes that the checkpoint already has.
extension SafetensorsMatrix {
    /// Inputs that share a scale.
    static let packedGroupSize = 32
    static let codesPerWord = 8
    /// What a stored code is above its value.
    private static let excess = 8

    struct PackedScale: Sendable {
        /// [rows, columns / 32]
        let tensor: SafetensorsHeader.Tensor
        let file: SafetensorsFile
    }

    /// With the linear table; nil where its scales have more than 16 bits.
    var importFormat: ImportFormat? {
        switch packedScale?.tensor.element {
        case .bf16: ImportFormat(format: .q4, scaleFormat: .bf16)
        case .f16: ImportFormat(format: .q4, scaleFormat: .f16)
        default: nil
        }
    }

    func readPacked(
        _ range: Range<Int>, codes: UnsafeMutableBufferPointer<UInt8>, scales: UnsafeMutableBufferPointer<UInt16>
    ) throws(CheckpointError) {
        guard let packedScale, let format = importFormat?.scaleFormat else {
            preconditionFailure("\(name) isn't packed with 16-bit scales")
        }
        try unsafe readCodes(range, into: codes)
        let place = scalePlace(range, packedScale)
        try unsafe packedScale.file.file.read(into: UnsafeMutableRawBufferPointer(scales), at: place)
        for index in scales.indices {
            let value = unsafe NumberFormat.float(scale: scales[index], format)
            guard value.isFinite else { throw notFinite(value, scale: index, of: range, packedScale) }
        }
    }

    /// value = (code − 8) · scale
    func unpack(
        _ range: Range<Int>, _ scale: PackedScale, into destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        let codes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: destination.count)
        defer { unsafe codes.deallocate() }
        try unsafe readCodes(range, into: codes)
        var part = scale.tensor
        part.offset = scalePlace(range, scale)
        part.byteCount = range.count * columns / Self.packedGroupSize * part.element.byteCount
        let scales = try scale.file.floats(of: part)
        if let index = scales.firstIndex(where: { !$0.isFinite }) {
            throw notFinite(scales[index], scale: index, of: range, scale)
        }
        for index in destination.indices {
            let value = unsafe Float(Int(codes[index]) - Self.excess)
            unsafe destination[index] = value * scales[index / Self.packedGroupSize]
        }
    }

    private func readCodes(
        _ range: Range<Int>, into codes: UnsafeMutableBufferPointer<UInt8>
    ) throws(CheckpointError) {
        // Little-endian words with the first code in the lowest bits: two codes a byte, in order.
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: codes.count / 2, alignment: 64)
        defer { unsafe bytes.deallocate() }
        try unsafe file.file.read(into: bytes, at: offset + byteCount(ofRows: range.lowerBound))
        for index in bytes.indices {
            unsafe codes[2 * index] = bytes[index] & 15
            unsafe codes[2 * index + 1] = bytes[index] >> 4
        }
    }

    /// The first scale of a range's rows, from the start of its file.
    private func scalePlace(_ range: Range<Int>, _ scale: PackedScale) -> Int {
        scale.tensor.offset + range.lowerBound * columns / Self.packedGroupSize * scale.tensor.element.byteCount
    }

    private func notFinite(
        _ value: Float, scale index: Int, of range: Range<Int>, _ scale: PackedScale
    ) -> CheckpointError {
        let groups = columns / Self.packedGroupSize
        return CheckpointError(
            .notFinite, "the weights have a scale that isn't finite", path: scale.file.path,
            offset: scalePlace(range, scale) + index * scale.tensor.element.byteCount, tensor: scale.tensor.name,
            expected: "finite numbers",
            found: "\(value) in row \(range.lowerBound + index / groups), group \(index % groups)",
            advice: "The checkpoint is damaged; get the file again")
    }
}

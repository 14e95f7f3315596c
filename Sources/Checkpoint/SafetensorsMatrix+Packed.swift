import Compute
import Container

/// Matrices of 4-bit codes that the checkpoint already has.
extension SafetensorsMatrix {
    /// Inputs that share a scale.
    static let packedGroupSize = 32

    struct PackedScale: Sendable {
        enum Kind {
            /// A code is 8 more than its value, which is multiplied by a float.
            case excess8
            /// A code is a sign, two bits of exponent and one of mantissa, and its value is multiplied by a power of two.
            case e2m1
        }

        let kind: Kind
        /// [rows, columns / 32], or with `e2m1` the first row of that, which the matrix's row stride leads on from.
        let tensor: SafetensorsHeader.Tensor
        let file: SafetensorsFile
    }

    /// With the table of its kind; nil where its scales have more than 16 bits.
    var importFormat: ImportFormat? {
        switch (packedScale?.kind, packedScale?.tensor.element) {
        case (.excess8, .bf16): ImportFormat(format: .q4, scaleFormat: .bf16)
        case (.excess8, .f16): ImportFormat(format: .q4, scaleFormat: .f16)
        case (.e2m1, _): Microscaling.importFormat
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
        if packedScale.kind == .e2m1 {
            let powers = try readPowers(range, packedScale)
            for index in scales.indices { unsafe scales[index] = Microscaling.halfScale(powers[index]) }
            return
        }
        let place = scalePlace(range, packedScale)
        try unsafe packedScale.file.file.read(into: UnsafeMutableRawBufferPointer(scales), at: place)
        for index in scales.indices {
            let value = unsafe NumberFormat.float(scale: scales[index], format)
            guard value.isFinite else { throw notFinite(value, scale: index, of: range, packedScale) }
        }
    }

    /// value = (code − 8) · scale, or with `e2m1` table[code] · scale / 2
    func unpack(
        _ range: Range<Int>, _ scale: PackedScale, into destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        let codes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: destination.count)
        defer { unsafe codes.deallocate() }
        try unsafe readCodes(range, into: codes)
        if scale.kind == .e2m1 {
            let powers = try readPowers(range, scale)
            let table = CodeTable.e2m1.values.map(Float.init)
            for index in destination.indices {
                let bits = Microscaling.halfScale(powers[index / Self.packedGroupSize])
                unsafe destination[index] = table[Int(codes[index])] * NumberFormat.float(bf16: bits)
            }
            return
        }
        var part = scale.tensor
        part.offset = scalePlace(range, scale)
        part.byteCount = range.count * columns / Self.packedGroupSize * part.element.byteCount
        let scales = try scale.file.floats(of: part)
        if let index = scales.firstIndex(where: { !$0.isFinite }) {
            throw notFinite(scales[index], scale: index, of: range, scale)
        }
        for index in destination.indices {
            let value = unsafe Float(Int(codes[index]) - 8)
            unsafe destination[index] = value * scales[index / Self.packedGroupSize]
        }
    }

    private func readCodes(
        _ range: Range<Int>, into codes: UnsafeMutableBufferPointer<UInt8>
    ) throws(CheckpointError) {
        // Little-endian words with the first code in the lowest bits: two codes a byte, in order.
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: codes.count / 2, alignment: 64)
        defer { unsafe bytes.deallocate() }
        try unsafe readRows(range, of: file, at: offset, elementsPerByte: 2, into: bytes)
        for index in bytes.indices {
            unsafe codes[2 * index] = bytes[index] & 15
            unsafe codes[2 * index + 1] = bytes[index] >> 4
        }
    }

    /// Rows of packed elements, which may stand apart.
    private func readRows(
        _ range: Range<Int>, of file: SafetensorsFile, at offset: Int, elementsPerByte: Int,
        into bytes: UnsafeMutableRawBufferPointer
    ) throws(CheckpointError) {
        let start = offset + range.lowerBound * rowStride / elementsPerByte
        guard !isContiguous else { return try unsafe file.file.read(into: bytes, at: start) }
        let length = columns / elementsPerByte
        for row in 0..<range.count {
            try unsafe file.file.read(
                into: UnsafeMutableRawBufferPointer(rebasing: bytes[row * length..<(row + 1) * length]),
                at: start + row * rowStride / elementsPerByte)
        }
    }

    /// Exponents of e8m0, [rows, columns / 32]: a scale is 2^(exponent − 127).
    ///
    /// - Throws: `.notFinite` for a NaN, and for a scale whose greatest value wouldn't be finite in binary32.
    private func readPowers(_ range: Range<Int>, _ scale: PackedScale) throws(CheckpointError) -> [UInt8] {
        let groups = columns / Self.packedGroupSize
        var powers = [UInt8](repeating: 0, count: range.count * groups)
        var failure: CheckpointError?
        unsafe powers.withUnsafeMutableBytes { bytes in
            do throws(CheckpointError) {
                try unsafe readRows(
                    range, of: scale.file, at: scale.tensor.offset, elementsPerByte: Self.packedGroupSize, into: bytes)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        if let index = powers.firstIndex(where: { $0 > Microscaling.greatestExponent }) {
            let row = range.lowerBound + index / groups
            throw CheckpointError(
                .notFinite, "the weights have a scale that isn't finite", path: scale.file.path,
                offset: scale.tensor.offset + row * rowStride / Self.packedGroupSize + index % groups,
                tensor: scale.tensor.name,
                expected: "at most \(Microscaling.greatestExponent), so that 6 · 2^(n − 127) is finite",
                found: "\(powers[index]) in row \(row), group \(index % groups)",
                advice: "The checkpoint is damaged; get the file again")
        }
        return powers
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

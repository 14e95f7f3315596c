import Compute

/// Fills one matrix, block by block, with random weights that are stored exactly as `MatrixPacking` would store them.
///
/// The weights have the mean 0 and a chosen deviation. A block's bytes depend only on the seed and on which block of
/// which matrix it is, so blocks may be filled in any order and by any number of threads.
@safe struct RandomWeights: Sendable {
    let shape: MatrixShape
    private let deviation: Float
    /// Distinct for each matrix of the container.
    private let seed: UInt64
    /// f16 scales around the one that gives the deviation, half of them negative, as a search for the best scale leaves
    /// them.
    private let scales: [UInt16]

    /// Distinct bytes that a q8 weight takes evenly, −127 … 127, and q4's, −8 … 7: their deviations.
    private static let q8Deviation: Float = 73.6
    private static let q4Deviation: Float = 4.61
    /// Of the non-linear table's entries, taken evenly.
    private static let nonLinearDeviation: Float = 67.4
    private static let scaleCount = 512

    init(_ shape: MatrixShape, table: CodeTable = .linear, deviation: Float, seed: UInt64) {
        self.shape = shape
        self.deviation = deviation
        self.seed = seed
        let q4 = table == .linear ? Self.q4Deviation : Self.nonLinearDeviation
        let unit = deviation / (shape.format == .q8 ? Self.q8Deviation : q4)
        scales = (0..<Self.scaleCount).map { index in
            let magnitude = unit * (0.75 + 0.5 * Float(index / 2) / Float(Self.scaleCount / 2))
            return NumberFormat.f16(index.isMultiple(of: 2) ? magnitude : -magnitude)
        }
    }

    /// Panels, or rows where the layout is row-major.
    var blockCount: Int { shape.layout == .panels ? shape.panelCount : shape.rows }

    /// Writes every byte of one block, padding included.
    func fill(block: Int, at destination: UnsafeMutableRawPointer) {
        var random = RandomBits(seed: seed, block: block)
        let together = shape.layout == .panels ? MatrixShape.panelRows : 1
        let rows = min(together, shape.rows - block * together)
        if shape.format.isQuantized {
            unsafe fillQuantized(destination, rows: rows, of: together, &random)
        } else {
            unsafe fillFloats(destination, rows: rows, &random)
        }
    }

    /// Writes every byte of the second plane of one panel.
    func fillRefinements(block: Int, at destination: UnsafeMutableRawPointer) {
        var random = RandomBits(seed: ~seed, block: block)
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: destination, count: shape.refinementStrideByteCount)
        unsafe random.fill(bytes)
        unsafe clearUnusedRows(bytes, rows: min(MatrixShape.panelRows, shape.rows - block * MatrixShape.panelRows))
    }

    /// Rows that fill up the last panel are zeros: four bytes a row in lines of 32.
    private func clearUnusedRows(_ codes: UnsafeMutableRawBufferPointer, rows: Int) {
        guard rows < MatrixShape.panelRows else { return }
        for line in stride(from: 0, to: codes.count, by: MatrixShape.panelRows * 4) {
            for index in rows * 4..<MatrixShape.panelRows * 4 { unsafe codes[line + index] = 0 }
        }
    }

    private func fillQuantized(
        _ destination: UnsafeMutableRawPointer, rows: Int, of together: Int, _ random: inout RandomBits
    ) {
        let codes = unsafe UnsafeMutableRawBufferPointer(
            start: destination + shape.scaleByteCount, count: shape.strideByteCount - shape.scaleByteCount)
        let used = shape.columns * together / (shape.format == .q4 ? 2 : 1)
        unsafe random.fill(UnsafeMutableRawBufferPointer(rebasing: codes[..<used]))
        if shape.format == .q8 {
            // The format has no −128.
            for index in 0..<used where unsafe codes[index] == 0x80 { unsafe codes[index] = 0 }
        }
        unsafe clear(codes, from: used)
        let plane = unsafe UnsafeMutableBufferPointer(
            start: destination.assumingMemoryBound(to: UInt16.self), count: shape.scaleByteCount / 2)
        for index in plane.indices {
            let isUsed = index < shape.groupsPerRow * together && index % together < rows
            unsafe plane[index] = isUsed ? scales[Int(truncatingIfNeeded: random.next() >> 55)] : 0
        }
        guard rows < together else { return }
        unsafe clearUnusedRows(UnsafeMutableRawBufferPointer(rebasing: codes[..<used]), rows: rows)
    }

    private func fillFloats(_ destination: UnsafeMutableRawPointer, rows: Int, _ random: inout RandomBits) {
        let count = rows * shape.columns
        // Evenly within ±√3 deviations.
        let factor = deviation * Float(3).squareRoot() / Float(1 << 31)
        switch shape.format {
        case .f32:
            let values = unsafe destination.assumingMemoryBound(to: Float.self)
            for index in 0..<count { unsafe values[index] = random.nextSigned() * factor }
        default:
            let values = unsafe destination.assumingMemoryBound(to: UInt16.self)
            for index in 0..<count {
                let value = random.nextSigned() * factor
                unsafe values[index] = shape.format == .f16 ? NumberFormat.f16(value) : NumberFormat.bf16(value)
            }
        }
        let all = unsafe UnsafeMutableRawBufferPointer(start: destination, count: shape.strideByteCount)
        unsafe clear(all, from: count * (shape.format == .f32 ? 4 : 2))
    }

    private func clear(_ bytes: UnsafeMutableRawBufferPointer, from start: Int) {
        for index in start..<bytes.count { unsafe bytes[index] = 0 }
    }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): good enough for weights, and faster than any storage.
private struct RandomBits {
    private var state: UInt64

    init(seed: UInt64, block: Int) {
        state = Self.mixed(seed &+ UInt64(block) &* 0xD1B5_4A32_D192_ED03)
    }

    static func mixed(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return Self.mixed(state)
    }

    /// From −2^31 to 2^31.
    mutating func nextSigned() -> Float { Float(Int32(truncatingIfNeeded: next() >> 32)) }

    mutating func fill(_ bytes: UnsafeMutableRawBufferPointer) {
        let words = bytes.count / 8
        for word in 0..<words {
            unsafe bytes.storeBytes(of: next().littleEndian, toByteOffset: word * 8, as: UInt64.self)
        }
        guard words * 8 < bytes.count else { return }
        var rest = next()
        for index in words * 8..<bytes.count {
            unsafe bytes[index] = UInt8(truncatingIfNeeded: rest)
            rest >>= 8
        }
    }
}

/// Row-major codes and scales into the layouts that `MatrixShape` describes, and back into floats.
///
/// A block is what stands together: a panel of 8 rows (`.panels`) or one row (`.rows`). Different blocks may be packed
/// by different threads. Padding is written as zeros, so the same matrix always gives the same bytes.
package struct MatrixPacking: Sendable {
    package let shape: MatrixShape

    package init(_ shape: MatrixShape) { self.shape = shape }

    package var blockCount: Int { shape.layout == .panels ? shape.panelCount : shape.rows }
    package var rowsPerBlock: Int { shape.layout == .panels ? MatrixShape.panelRows : 1 }

    /// The matrix's rows in a block: fewer than `rowsPerBlock` at the end.
    package func rows(of block: Int) -> Range<Int> {
        let first = block * rowsPerBlock
        return first..<min(shape.rows, first + rowsPerBlock)
    }

    /// Packs one block of a quantised matrix.
    ///
    /// - Parameters:
    ///   - codes: the block's rows, [rows, columns], row-major: `q8` values (as bit patterns) or `q4` indices 0…15.
    ///   - scales: in the shape's scale format, [rows, columns / 32].
    ///   - destination: where the block begins: `shape.strideByteCount` bytes.
    package func packBlock(
        _ block: Int, codes: UnsafePointer<UInt8>, scales: UnsafePointer<UInt16>,
        into destination: UnsafeMutableRawPointer
    ) {
        precondition(shape.format.isQuantized && block >= 0 && block < blockCount)
        unsafe destination.initializeMemory(as: UInt8.self, repeating: 0, count: shape.strideByteCount)
        let groups = shape.groupsPerRow
        let packedScales = unsafe destination.assumingMemoryBound(to: UInt16.self)
        let packedCodes = unsafe (destination + shape.scaleByteCount).assumingMemoryBound(to: UInt8.self)
        for row in 0..<rows(of: block).count {
            for group in 0..<groups {
                unsafe packedScales[group * rowsPerBlock + row] = scales[row * groups + group]
                let from = unsafe codes + row * shape.columns + group * BlockFormat.groupSize
                switch (shape.format, shape.layout) {
                case (.q8, .panels): unsafe interleave8(from, into: packedCodes + group * 256 + row * 4)
                case (.q8, .rows): unsafe (packedCodes + group * 32).update(from: from, count: 32)
                case (_, .panels): unsafe interleave4(from, into: packedCodes + group * 128 + row * 4)
                case (_, .rows): unsafe halve(from, into: packedCodes + group * 16)
                }
            }
        }
    }

    /// Packs the refinements of one panel of `q4` codes, [rows, columns] of 0…15, row-major, into
    /// `shape.refinementStrideByteCount` bytes.
    package func packRefinements(
        _ block: Int, _ refinements: UnsafePointer<UInt8>, into destination: UnsafeMutableRawPointer
    ) {
        precondition(shape.format == .q4 && shape.layout == .panels && block >= 0 && block < blockCount)
        unsafe destination.initializeMemory(as: UInt8.self, repeating: 0, count: shape.refinementStrideByteCount)
        let packed = unsafe destination.assumingMemoryBound(to: UInt8.self)
        for row in 0..<rows(of: block).count {
            for group in 0..<shape.groupsPerRow {
                let from = unsafe refinements + row * shape.columns + group * BlockFormat.groupSize
                unsafe interleave4(from, into: packed + group * 128 + row * 4)
            }
        }
    }

    /// Packs one block of an unquantised matrix from its rows, [rows, columns], row-major, already in its format.
    package func packBlock(_ block: Int, rows source: UnsafeRawPointer, into destination: UnsafeMutableRawPointer) {
        precondition(!shape.format.isQuantized && block >= 0 && block < blockCount)
        let byteCount = rows(of: block).count * shape.columns * (shape.format == .f32 ? 4 : 2)
        unsafe destination.copyMemory(from: source, byteCount: byteCount)
        unsafe (destination + byteCount).initializeMemory(
            as: UInt8.self, repeating: 0, count: shape.strideByteCount - byteCount)
    }

    /// One row as floats, element by element: what the kernels are checked against.
    package func unpackRow(
        _ row: Int, of matrix: UnsafeRawPointer, table: CodeTable, into y: UnsafeMutablePointer<Float>
    ) {
        let block = unsafe matrix + row / rowsPerBlock * shape.strideByteCount
        let rowInBlock = row % rowsPerBlock
        let values = table.values
        for column in 0..<shape.columns {
            let element = rowInBlock * shape.columns + column
            switch shape.format {
            case .f32: unsafe y[column] = block.load(fromByteOffset: element * 4, as: Float.self)
            case .bf16:
                unsafe y[column] = NumberFormat.float(bf16: block.load(fromByteOffset: element * 2, as: UInt16.self))
            case .f16:
                unsafe y[column] = NumberFormat.float(f16: block.load(fromByteOffset: element * 2, as: UInt16.self))
            case .q8, .q4:
                let group = column / BlockFormat.groupSize
                let scale = unsafe block.load(fromByteOffset: (group * rowsPerBlock + rowInBlock) * 2, as: UInt16.self)
                let (offset, shift) = position(column % BlockFormat.groupSize, row: rowInBlock)
                let groupByteCount = BlockFormat.groupSize * rowsPerBlock / (shape.format == .q4 ? 2 : 1)
                let byte = unsafe block.load(
                    fromByteOffset: shape.scaleByteCount + group * groupByteCount + offset, as: UInt8.self)
                let code = shape.format == .q8 ? Int8(bitPattern: byte) : values[Int(byte >> shift & 15)]
                unsafe y[column] = Float(code) * NumberFormat.float(scale: scale, shape.scaleFormat)
            }
        }
    }

    /// The byte of a group that holds input `k` of a row, and the bits below the code in it.
    private func position(_ k: Int, row: Int) -> (offset: Int, shift: UInt8) {
        let place = shape.format == .q4 ? k % 16 : k
        let shift: UInt8 = shape.format == .q4 && k >= 16 ? 4 : 0
        guard shape.layout == .panels else { return (place, shift) }
        return (place / 4 * 32 + row * 4 + place % 4, shift)
    }

    /// Four neighbouring codes stay together, 32 bytes from one four to the next.
    private func interleave8(_ codes: UnsafePointer<UInt8>, into line: UnsafeMutablePointer<UInt8>) {
        for four in 0..<8 { unsafe (line + four * 32).update(from: codes + four * 4, count: 4) }
    }

    private func interleave4(_ codes: UnsafePointer<UInt8>, into line: UnsafeMutablePointer<UInt8>) {
        for four in 0..<4 {
            for i in 0..<4 {
                let low = unsafe codes[four * 4 + i] & 15
                unsafe line[four * 32 + i] = low | codes[16 + four * 4 + i] << 4
            }
        }
    }

    private func halve(_ codes: UnsafePointer<UInt8>, into bytes: UnsafeMutablePointer<UInt8>) {
        for i in 0..<16 { unsafe bytes[i] = (codes[i] & 15) | codes[16 + i] << 4 }
    }
}

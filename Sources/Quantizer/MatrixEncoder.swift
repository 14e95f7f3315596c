package import Compute

/// Turns rows of floats into the bytes of a block format, in the place that `MatrixShape` gives them.
///
/// Rows are encoded in any order and by any number of threads, whole panels at a time; the bytes don't depend on it.
package struct MatrixEncoder: Sendable {
    package var shape: MatrixShape { packing.shape }
    private let packing: MatrixPacking
    /// Bytes from one panel (or row) to the next; more than the shape's own where two matrices alternate.
    let stride: Int

    package init(_ shape: MatrixShape, stride: Int? = nil) {
        packing = MatrixPacking(shape)
        self.stride = stride ?? shape.strideByteCount
    }

    /// What encoding lost.
    package struct Loss: Sendable, Equatable {
        /// Σ (x − x̂)²
        package var error = 0.0
        /// Σ x²
        package var energy = 0.0

        package init() {}

        package static func += (left: inout Loss, right: Loss) {
            left.error += right.error
            left.energy += right.energy
        }

        package static func + (left: Loss, right: Loss) -> Loss {
            var sum = left
            sum += right
            return sum
        }

        /// ‖x − x̂‖ / ‖x‖; 0 for a matrix of zeros.
        package var relative: Double { energy > 0 ? (error / energy).squareRoot() : 0 }
    }

    /// - Parameters:
    ///   - values: the rows `rows`, row-major, all finite.
    ///   - rows: from a multiple of 8 to a multiple of 8 or the last row.
    ///   - base: the matrix's first byte; `shape` (or `stride`) bounds what is written.
    /// - Throws: `outOfRange` for values that no f16 scale can hold.
    package func encode(
        _ values: UnsafePointer<Float>, rows: Range<Int>, into base: UnsafeMutableRawPointer
    ) throws(QuantizerError) -> Loss {
        precondition(rows.lowerBound.isMultiple(of: MatrixShape.panelRows) && rows.upperBound <= shape.rows)
        var loss = Loss()
        var fits = true
        let scratch = Scratch(columns: shape.columns)
        for first in Swift.stride(from: rows.lowerBound, to: rows.upperBound, by: MatrixShape.panelRows) {
            let source = unsafe values + (first - rows.lowerBound) * shape.columns
            let count = min(MatrixShape.panelRows, rows.upperBound - first)
            switch shape.format {
            case .q4, .q8: fits = unsafe quantize(source, count, scratch, &loss) && fits
            case .bf16: unsafe round(source, count, scratch, &loss)
            case .f32: unsafe scratch.bytes.copyMemory(from: source, byteCount: count * shape.columns * 4)
            case .f16:
                throw QuantizerError(
                    code: .outOfRange, message: "f16 isn't written, because it can't hold every weight")
            }
            for block in first / packing.rowsPerBlock..<(first + count + packing.rowsPerBlock - 1)
                / packing.rowsPerBlock
            {
                unsafe pack(
                    block, from: scratch, row: block * packing.rowsPerBlock - first, into: base + block * stride)
            }
        }
        guard fits else {
            throw QuantizerError(
                code: .outOfRange, message: "the weights are too large for f16 scales",
                advice: "Convert this model with --type bf16")
        }
        return loss
    }

    /// Eight rows in their format, before they are put in their layout.
    @safe private struct Scratch: ~Copyable {
        /// Codes or floats, [8, columns].
        let bytes: UnsafeMutableRawPointer
        /// f16, [8, columns / 32].
        let scales: UnsafeMutablePointer<UInt16>

        init(columns: Int) {
            let rows = MatrixShape.panelRows
            unsafe bytes = .allocate(byteCount: rows * columns * 4, alignment: 64)
            unsafe scales = .allocate(capacity: rows * (columns / BlockFormat.groupSize + 1))
        }

        deinit {
            unsafe bytes.deallocate()
            unsafe scales.deallocate()
        }
    }

    /// Eight rows at a time, group by group, whatever the layout: the search takes a row a lane.
    private func quantize(_ values: UnsafePointer<Float>, _ rows: Int, _ scratch: borrowing Scratch, _ loss: inout Loss)
        -> Bool
    {
        let codes = unsafe scratch.bytes.assumingMemoryBound(to: UInt8.self)
        var fits = true
        unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * MatrixShape.panelRows) { sums in
            guard let error = sums.baseAddress else { return }
            let energy = unsafe error + MatrixShape.panelRows
            for group in 0..<shape.groupsPerRow {
                let column = group * BlockFormat.groupSize
                fits =
                    unsafe Kernels.quantizeGroup(
                        shape.format, values + column, rowStride: shape.columns, rows: rows,
                        scales: scratch.scales + group, scaleStride: shape.groupsPerRow, codes: codes + column,
                        codeStride: shape.columns, error: error, energy: energy) && fits
                for row in 0..<rows {
                    loss.error += unsafe Double(error[row])
                    loss.energy += unsafe Double(energy[row])
                }
            }
        }
        return fits
    }

    private func round(_ values: UnsafePointer<Float>, _ rows: Int, _ scratch: borrowing Scratch, _ loss: inout Loss) {
        let count = rows * shape.columns
        let rounded = unsafe scratch.bytes.assumingMemoryBound(to: UInt16.self)
        unsafe Kernels.convert(values, count: count, intoBF16: rounded)
        for index in 0..<count {
            let value = unsafe values[index]
            let difference = unsafe value - NumberFormat.float(bf16: rounded[index])
            loss.error += Double(difference * difference)
            loss.energy += Double(value * value)
        }
    }

    private func pack(_ block: Int, from scratch: borrowing Scratch, row: Int, into target: UnsafeMutableRawPointer) {
        guard shape.format.isQuantized else {
            let rowByteCount = shape.columns * (shape.format == .f32 ? 4 : 2)
            unsafe packing.packBlock(block, rows: scratch.bytes + row * rowByteCount, into: target)
            return
        }
        let codes = unsafe scratch.bytes.assumingMemoryBound(to: UInt8.self)
        unsafe packing.packBlock(
            block, codes: codes + row * shape.columns, scales: scratch.scales + row * shape.groupsPerRow, into: target)
    }
}

package import Compute

/// Turns rows of floats into the bytes of a block format, in the place that `MatrixShape` gives them.
///
/// Rows are encoded in any order and by any number of threads, whole panels at a time; the bytes don't depend on it.
package struct MatrixEncoder: Sendable {
    package let shape: MatrixShape
    /// Bytes from one panel (or row) to the next; more than the shape's own where two matrices alternate.
    package let stride: Int

    package init(_ shape: MatrixShape, stride: Int? = nil) {
        self.shape = shape
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

        /// ‖x − x̂‖ / ‖x‖; 0 for a matrix of zeros.
        package var relative: Double { energy > 0 ? (error / energy).squareRoot() : 0 }
    }

    /// - Parameters:
    ///   - values: the rows `rows`, row-major, all finite.
    ///   - rows: from a multiple of 8 to a multiple of 8 or the last row.
    ///   - base: the matrix's first byte; `shape` (or `stride`) bounds what is written. Zeroed memory: what pads a panel
    ///     isn't written.
    /// - Throws: `outOfRange` for values that no f16 scale can hold.
    package func encode(
        _ values: UnsafePointer<Float>, rows: Range<Int>, into base: UnsafeMutableRawPointer
    ) throws(QuantizerError) -> Loss {
        precondition(rows.lowerBound.isMultiple(of: MatrixShape.panelRows) && rows.upperBound <= shape.rows)
        return switch shape.format {
        case .q4, .q8: try unsafe encodeGroups(values, rows, base)
        case .f32, .bf16: unsafe encodeFloats(values, rows, base)
        case .f16: throw QuantizerError(code: .outOfRange, message: "f16 isn't written: it can't hold every weight")
        }
    }

    private func encodeFloats(
        _ values: UnsafePointer<Float>, _ rows: Range<Int>, _ base: UnsafeMutableRawPointer
    ) -> Loss {
        let columns = shape.columns
        let rowByteCount = columns * (shape.format == .f32 ? 4 : 2)
        var loss = Loss()
        for row in rows {
            let source = unsafe values + (row - rows.lowerBound) * columns
            let offset =
                shape.layout == .rows
                ? row * stride
                : row / MatrixShape.panelRows * stride + row % MatrixShape.panelRows * rowByteCount
            let target = unsafe base + offset
            if shape.format == .f32 {
                unsafe target.copyMemory(from: source, byteCount: rowByteCount)
            } else {
                let stored = unsafe target.assumingMemoryBound(to: UInt16.self)
                unsafe Kernels.convert(source, count: columns, intoBF16: stored)
                unsafe add(rounded: stored, source, to: &loss)
            }
        }
        return loss
    }

    private func add(rounded: UnsafePointer<UInt16>, _ source: UnsafePointer<Float>, to loss: inout Loss) {
        var error: Float = 0
        var energy: Float = 0
        for column in 0..<shape.columns {
            let value = unsafe source[column]
            let difference = unsafe value - Float(bitPattern: UInt32(rounded[column]) << 16)
            error += difference * difference
            energy += value * value
        }
        loss.error += Double(error)
        loss.energy += Double(energy)
    }
}

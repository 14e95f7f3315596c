internal import CKernels

/// A borrowed view of a matrix. Whoever makes one promises that the memory outlives it and doesn't change meanwhile.
@safe package struct Matrix: @unchecked Sendable {
    // @unchecked: a constant view of memory that nobody writes to.

    /// The first panel (or row): 64-byte aligned, `strideByteCount` bytes each.
    package let base: UnsafeRawPointer
    package let shape: MatrixShape
    package let table: CodeTable
    /// Bytes from one panel (or row) to the next: more than the shape's own where two matrices alternate by panel.
    package let strideByteCount: Int

    package init(
        base: UnsafeRawPointer, shape: MatrixShape, table: CodeTable = .linear, strideByteCount: Int? = nil
    ) {
        unsafe self.base = base
        self.shape = shape
        self.table = table
        self.strideByteCount = strideByteCount ?? shape.strideByteCount
    }

    var view: moed_matrix {
        unsafe moed_matrix(
            base: base.assumingMemoryBound(to: UInt8.self), stride: Int64(strideByteCount),
            code_offset: Int64(shape.scaleByteCount), rows: Int64(shape.rows), columns: Int64(shape.columns),
            format: shape.format.rawValue, layout: shape.layout.rawValue, table: table.rawValue,
            scale_format: shape.scaleFormat.rawValue)
    }
}

/// What stands between gate and up, and down, in gpt-oss in place of `silu(g) · u`, with g and u the two products and
/// their biases: `g / (1 + exp(−slope · g)) · (u + 1)` of g cut off above `limit` and u on both sides.
@safe package struct ClampedGating {
    package let slope: Float
    package let limit: Float
    /// As many as gate has rows, and up; nil without.
    package let gateBiases: UnsafePointer<Float>?
    package let upBiases: UnsafePointer<Float>?

    package init(
        slope: Float, limit: Float, gateBiases: UnsafePointer<Float>? = nil, upBiases: UnsafePointer<Float>? = nil
    ) {
        self.slope = slope
        self.limit = limit
        unsafe self.gateBiases = gateBiases
        unsafe self.upBiases = upBiases
    }

    var view: moed_gating {
        unsafe moed_gating(slope: slope, limit: limit, gate_biases: gateBiases, up_biases: upBiases)
    }
}

extension Range<Int> {
    var view: moed_range { moed_range(begin: Int64(lowerBound), end: Int64(upperBound)) }
}

extension Kernels {
    /// `y[t][r] = Σ_k W[r][k] · x[t][k]` for the rows of `panels` and the tokens of `tokens`.
    ///
    /// Both ranges are positions in the whole: row r of token t goes to `y[t · yStride + r]`, whichever part of the work
    /// the call does, so that threads share `y`. `q8` and `q4` use the int8 inputs of `x` (it was loaded with
    /// `quantize`), the others its floats. An even number of panels a call is fastest.
    ///
    /// - Parameter matrix: in the `.panels` layout.
    package func multiply(
        _ matrix: Matrix, panels: Range<Int>, _ x: ActivationBuffer, tokens: Range<Int>,
        into y: UnsafeMutablePointer<Float>, yStride: Int
    ) {
        precondition(matrix.shape.layout == .panels)
        precondition(panels.lowerBound >= 0 && panels.upperBound <= matrix.shape.panelCount)
        precondition(tokens.lowerBound >= 0 && tokens.upperBound <= x.tokenCount)
        precondition(matrix.shape.columns == x.columnCount)
        precondition(matrix.shape.format.isQuantized ? x.isQuantized : x.hasFloats)
        guard !panels.isEmpty, !tokens.isEmpty else { return }
        var weights = unsafe matrix.view
        var inputs = unsafe x.view
        unsafe table.pointee.multiply(&weights, &inputs, panels.view, tokens.view, y, Int64(yStride))
    }

    /// `y[t][r] = silu(gate[t][r]) · up[t][r]`, where gate and up are what `multiply` gives for the two matrices, or what
    /// `gating` makes of them.
    ///
    /// Ranges and places as in `multiply`. Fastest for quantised matrices of the same encoding, and from memory where
    /// they alternate by panel.
    package func multiplyGated(
        _ gate: Matrix, _ up: Matrix, _ gating: ClampedGating? = nil, panels: Range<Int>, _ x: ActivationBuffer,
        tokens: Range<Int>, into y: UnsafeMutablePointer<Float>, yStride: Int
    ) {
        precondition(gate.shape.layout == .panels && up.shape.layout == .panels)
        precondition(gate.shape.rows == up.shape.rows && gate.shape.columns == up.shape.columns)
        precondition(panels.lowerBound >= 0 && panels.upperBound <= gate.shape.panelCount)
        precondition(tokens.lowerBound >= 0 && tokens.upperBound <= x.tokenCount)
        precondition(gate.shape.columns == x.columnCount)
        precondition(x.isQuantized || !gate.shape.format.isQuantized && !up.shape.format.isQuantized)
        precondition(x.hasFloats || gate.shape.format.isQuantized && up.shape.format.isQuantized)
        guard !panels.isEmpty, !tokens.isEmpty else { return }
        var gateWeights = unsafe gate.view
        var upWeights = unsafe up.view
        var inputs = unsafe x.view
        guard let gating else {
            unsafe table.pointee.multiply_gated(
                &gateWeights, &upWeights, nil, &inputs, panels.view, tokens.view, y, Int64(yStride))
            return
        }
        var view = unsafe gating.view
        unsafe table.pointee.multiply_gated(
            &gateWeights, &upWeights, &view, &inputs, panels.view, tokens.view, y, Int64(yStride))
    }

    /// `multiply` for rows that needn't be whole panels: `y[0]` belongs to the first of the rows and tokens, and nothing
    /// but them is written.
    package func multiply(
        _ matrix: Matrix, rows: Range<Int>, _ x: ActivationBuffer, tokens: Range<Int>,
        into y: UnsafeMutablePointer<Float>, yStride: Int
    ) {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= matrix.shape.rows)
        let size = MatrixShape.panelRows
        let origin = unsafe y - tokens.lowerBound * yStride - rows.lowerBound
        var row = rows.lowerBound
        while row < rows.upperBound {
            let panel = row / size
            let end = min((panel + 1) * size, matrix.shape.rows)
            if row == panel * size, rows.upperBound >= end {
                let last = rows.upperBound == matrix.shape.rows ? matrix.shape.panelCount : rows.upperBound / size
                unsafe multiply(matrix, panels: panel..<last, x, tokens: tokens, into: origin, yStride: yStride)
                row = last * size
            } else {
                let some = row..<min(end, rows.upperBound)
                unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: size) { whole in
                    let start = unsafe whole.baseAddress! - panel * size
                    for token in tokens {
                        unsafe multiply(
                            matrix, panels: panel..<panel + 1, x, tokens: token..<token + 1, into: start, yStride: 0)
                        for row in some { unsafe origin[token * yStride + row] = start[row] }
                    }
                }
                row = some.upperBound
            }
        }
    }

    /// `y[t][c] += Σ_r x[t][r − rows.lowerBound] · W[r][c]` from float inputs, whatever the format; rows in order.
    ///
    /// `x[0]` belongs to row `rows.lowerBound`; `y` has the matrix's columns. With several tokens, `x` is
    /// [tokens, xStride] and `y` [tokens, yStride].
    package func multiplyTransposed(
        _ matrix: Matrix, rows: Range<Int>, _ x: UnsafePointer<Float>, xStride: Int = 0, tokens: Int = 1,
        into y: UnsafeMutablePointer<Float>, yStride: Int = 0
    ) {
        precondition(matrix.shape.layout == .panels)
        precondition(rows.lowerBound >= 0 && rows.upperBound <= matrix.shape.rows)
        guard !rows.isEmpty else { return }
        var weights = unsafe matrix.view
        unsafe table.pointee.multiply_transposed(
            &weights, rows.view, x, Int64(xStride), Int64(tokens), y, Int64(yStride))
    }

    /// One row as floats, from either layout.
    package func dequantizeRow(_ matrix: Matrix, row: Int, into y: UnsafeMutablePointer<Float>) {
        precondition(row >= 0 && row < matrix.shape.rows)
        var weights = unsafe matrix.view
        unsafe table.pointee.dequantize_row(&weights, Int64(row), y)
    }
}

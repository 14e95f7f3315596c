internal import CKernels

/// How the scale of a group is found.
package enum ScaleMethod: UInt8, Sendable {
    /// The largest magnitude / 7 (`q4`, linear codes) or / 127 (`q8`).
    case plain = 0
    /// The one of least weighted squared error among many.
    case search = 1
}

extension Kernels {
    /// What an encoding lost: Σ (x − x̂)², Σ x², and both with every column's weight.
    package typealias EncodingLoss = (error: Double, energy: Double, weightedError: Double, weightedEnergy: Double)

    /// Quantises up to eight rows of whole groups. Offline: nothing at run time needs it.
    ///
    /// - Parameters:
    ///   - format: `.q8`, or `.q4` with `table`; plain rounding of `q4` has linear codes.
    ///   - values: finite floats, [rows, 32 · groups], rows `rowStride` apart.
    ///   - weights: how much an error in a column counts, finite and not negative; nil: 1 everywhere.
    ///   - scales: f16, [rows, groups].
    ///   - codes: `q8` values or `q4` indices, [rows, 32 · groups].
    /// - Returns: nil if a value is too large for an f16 scale.
    package func encode(
        _ format: BlockFormat, table: CodeTable = .linear, method: ScaleMethod = .search,
        _ values: UnsafePointer<Float>, rowStride: Int, rows: Int, groups: Int, weights: UnsafePointer<Float>? = nil,
        scales: UnsafeMutablePointer<UInt16>, codes: UnsafeMutablePointer<UInt8>
    ) -> EncodingLoss? {
        precondition(format.isQuantized && (0...MatrixShape.panelRows).contains(rows) && groups >= 0)
        precondition(method == .search || table == .linear)
        var encoding = unsafe moed_encoding(
            format: format.rawValue, table: table.rawValue, method: method.rawValue, rows: Int64(rows),
            groups: Int64(groups), x: values, row_stride: Int64(rowStride), weights: weights, scales: scales,
            codes: codes)
        var lost = moed_loss()
        guard unsafe self.table.pointee.encode(&encoding, &lost) == 0 else { return nil }
        return (lost.error, lost.energy, lost.weighted_error, lost.weighted_energy)
    }
}

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
            codes: codes, refinements: nil)
        var lost = moed_loss()
        guard unsafe self.table.pointee.encode(&encoding, &lost) == 0 else { return nil }
        return (lost.error, lost.energy, lost.weighted_error, lost.weighted_energy)
    }
}

extension Kernels {
    /// Quantises one group of up to sixteen rows so that its columns make up for the errors of those before them
    /// (Frantar et al., GPTQ, in the form of Babai's nearest plane). Offline.
    ///
    /// With H = R Rᵀ, R upper triangular, an error e costs e H eᵀ = Σ_k (Σ_{i≤k} e_i R_ik)².
    ///
    /// - Parameters:
    ///   - values: finite floats, rows `rowStride` apart, like `drift` and `codes`.
    ///   - drift: Σ e_i R_ik over the columns i of all groups before.
    ///   - factor: R within the group, [32, 32], of which the upper triangle is read; a positive diagonal.
    ///   - scales: an f16 a row, `scaleStride` apart.
    ///   - errors: what the values lose, [rows, 32].
    /// - Returns: nil if a value is too large for an f16 scale. `weightedError` is the group's part of Σ e H eᵀ, and
    ///   `weightedEnergy` Σ x² R_kk².
    package func encodeGroup(
        _ format: BlockFormat, table: CodeTable, method: ScaleMethod = .search, _ values: UnsafePointer<Float>,
        drift: UnsafePointer<Float>, rowStride: Int, rows: Int, factor: UnsafePointer<Float>,
        scales: UnsafeMutablePointer<UInt16>, scaleStride: Int, codes: UnsafeMutablePointer<UInt8>,
        errors: UnsafeMutablePointer<Float>
    ) -> EncodingLoss? {
        precondition(format.isQuantized && (0...Self.compensatedRows).contains(rows))
        precondition(method == .search || table == .linear)
        var encoding = unsafe moed_group_encoding(
            format: format.rawValue, table: table.rawValue, method: method.rawValue, rows: Int64(rows), x: values,
            drift: drift, factor: factor, codes: codes, stride: Int64(rowStride), scales: scales,
            scale_stride: Int64(scaleStride), errors: errors)
        var lost = moed_loss()
        guard unsafe self.table.pointee.encode_group(&encoding, &lost) == 0 else { return nil }
        return (lost.error, lost.energy, lost.weighted_error, lost.weighted_energy)
    }

    /// Rows that `encodeGroup` takes at most.
    package static var compensatedRows: Int { 16 }
}

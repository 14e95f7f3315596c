internal import CKernels

extension Kernels {
    /// Quantises one group of up to eight rows by the error-minimising search; `moed_quantize_group` in `quantize.h`
    /// says what the pointers are. Offline: nothing at run time needs it.
    ///
    /// - Parameters:
    ///   - format: `.q8`, or `.q4` with the linear table.
    ///   - values: 32 finite floats a row, rows `rowStride` apart.
    ///   - scales: an f16 a row, `scaleStride` apart.
    ///   - codes: 32 a row, rows `codeStride` apart.
    ///   - error: Σ (x − code · scale)², one a row.
    ///   - energy: Σ x², one a row.
    /// - Returns: false if a value is too large for an f16 scale.
    package static func quantizeGroup(
        _ format: BlockFormat, _ values: UnsafePointer<Float>, rowStride: Int, rows: Int,
        scales: UnsafeMutablePointer<UInt16>, scaleStride: Int, codes: UnsafeMutablePointer<UInt8>, codeStride: Int,
        error: UnsafeMutablePointer<Float>, energy: UnsafeMutablePointer<Float>
    ) -> Bool {
        precondition(format.isQuantized && (0...MatrixShape.panelRows).contains(rows))
        return unsafe moed_quantize_group(
            format.rawValue, values, Int64(rowStride), Int64(rows), scales, Int64(scaleStride), codes,
            Int64(codeStride), error, energy) == 0
    }
}

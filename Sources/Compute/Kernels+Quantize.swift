internal import CKernels

extension Kernels {
    /// Quantises one group of up to eight rows by the error-minimising search; `moed_quantize_group` in `quantize.h`
    /// says what the pointers are. Offline: nothing at run time needs it.
    ///
    /// - Parameters:
    ///   - format: `.q8`, or `.q4` with the linear table.
    ///   - values: 32 finite floats a row, rows `rowStride` apart.
    ///   - scales: f16 [8]
    ///   - codes: [8, 32]
    ///   - error: Σ (x − code · scale)², [8]
    ///   - energy: Σ x², [8]
    /// - Returns: false if a value is too large for an f16 scale.
    package static func quantizeGroup(
        _ format: BlockFormat, _ values: UnsafePointer<Float>, rowStride: Int, rows: Int,
        scales: UnsafeMutablePointer<UInt16>, codes: UnsafeMutablePointer<UInt8>, error: UnsafeMutablePointer<Float>,
        energy: UnsafeMutablePointer<Float>
    ) -> Bool {
        precondition(format.isQuantized && (0...MatrixShape.panelRows).contains(rows))
        return unsafe moed_quantize_group(
            format.rawValue, values, Int64(rowStride), Int64(rows), scales, codes, error, energy) == 0
    }
}

import Compute
import Container

/// MXFP4 (OCP Microscaling 1.0): codes of a sign, two bits of exponent and one of mantissa (e2m1) in groups of 32, whose
/// scales are powers of two, 2^(exponent − 127), kept as a byte each (e8m0).
///
/// The container's table has twice the codes' values, so it gets half the scales, which bf16 has down to 2^-128.
enum Microscaling {
    static let importFormat = ImportFormat(format: .q4, table: .e2m1, scaleFormat: .bf16)

    /// The greatest exponent with which the greatest value, 6 · 2^(n − 127), is finite in binary32. 255 is NaN.
    static let greatestExponent: UInt8 = 252

    /// The bf16 bits of 2^(exponent − 128), subnormal for the two least; NaN beyond `greatestExponent`.
    static func halfScale(_ exponent: UInt8) -> UInt16 {
        guard exponent <= greatestExponent else { return 0x7FC0 }
        return exponent >= 2 ? UInt16(exponent - 1) << 7 : UInt16(32) << exponent
    }
}

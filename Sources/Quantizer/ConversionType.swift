package import Compute

/// A number format as `--type` and rules name it.
package enum ConversionType: String, Sendable, CaseIterable {
    case int4
    case int8
    case bf16
    case f32

    package var format: BlockFormat {
        switch self {
        case .int4: .q4
        case .int8: .q8
        case .bf16: .bf16
        case .f32: .f32
        }
    }

    /// Bits of a weight, its share of the group's scale included.
    package var bits: Double { format.bitsPerElement }
}

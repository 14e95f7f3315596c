package import Compute

/// What `--type` asks for.
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
}

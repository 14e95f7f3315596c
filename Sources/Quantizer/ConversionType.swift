package import Compute

/// A number format as `--type` and rules name it.
package enum ConversionType: String, Sendable, CaseIterable {
    /// In each matrix with the code table that loses less.
    case int4
    case int4Linear = "int4-linear"
    case int4NonLinear = "int4-nonlinear"
    case int8
    /// Routed experts in two planes, int4 and what makes it int8; int8 for everything else.
    case nested = "int8+int4"
    case bf16
    case f32

    /// Of a resident tensor, and of a routed expert with all of its planes.
    package var format: BlockFormat {
        switch self {
        case .int4, .int4Linear, .int4NonLinear: .q4
        case .int8, .nested: .q8
        case .bf16: .bf16
        case .f32: .f32
        }
    }

    /// The code table that it insists on.
    var table: CodeTable? {
        switch self {
        case .int4Linear: .linear
        case .int4NonLinear: .nonLinear
        case .int4, .int8, .nested, .bf16, .f32: nil
        }
    }

    /// Whether a routed expert's matrices are stored in two planes, of which the first is `q4`.
    package var isNested: Bool { self == .nested }

    /// Bits of a weight, its share of the group's scale included.
    package var bits: Double { format.bitsPerElement }
}

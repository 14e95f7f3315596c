/// How the elements of one array are encoded.
///
/// The raw values are part of the `.moe` format (`Sources/Container/FORMAT.md`).
package enum BlockFormat: UInt8, Sendable, CaseIterable {
    /// IEEE binary32.
    case f32 = 1
    /// The upper 16 bits of a binary32.
    case bf16 = 2
    /// IEEE binary16.
    case f16 = 3
    /// Groups of 32 signed bytes (−127…127) with one scale (`ScaleFormat`): `value = code · scale`.
    case q8 = 4
    /// Groups of 32 four-bit indices into a `CodeTable` with one scale: `value = table[index] · scale`.
    case q4 = 5

    /// Inputs that share one scale.
    package static let groupSize = 32

    package var isQuantized: Bool { self == .q8 || self == .q4 }

    /// Bits of one element, its share of the group's scale included.
    package var bitsPerElement: Double {
        switch self {
        case .f32: 32
        case .bf16, .f16: 16
        case .q8: 8.5
        case .q4: 4.5
        }
    }
}

/// How a group's scale is encoded. The raw values are part of the `.moe` format.
package enum ScaleFormat: UInt8, Sendable, CaseIterable {
    /// IEEE binary16, which the search for the best scale gives.
    case f16 = 0
    /// The upper 16 bits of a binary32: imported scales, of which f16 can't hold every one.
    case bf16 = 1
}

/// The 16 values that a `q4` index stands for. The raw values are part of the `.moe` format.
package enum CodeTable: UInt8, Sendable, CaseIterable {
    /// −8 … 7 in order.
    case linear = 0
    /// The table of the IQ4_NL type, denser around zero.
    case nonLinear = 1
    /// Twice the values of FP4 (e2m1), a sign and 0, ½, 1, 1½, 2, 3, 4 or 6: for checkpoints that have them.
    case e2m1 = 2

    /// The tables that quantising chooses between.
    package static let searched = [linear, nonLinear]

    package var values: [Int8] {
        switch self {
        case .linear: [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7]
        case .nonLinear: [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
        case .e2m1: [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]
        }
    }
}

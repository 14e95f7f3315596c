import Compute

/// The element types that tests write, by their numbers in GGUF files.
package enum BlockWriting: UInt32, Sendable, CaseIterable {
    case f32 = 0
    case f16 = 1
    case q4_0 = 2
    case q8_0 = 8
    case iq4_nl = 20
    case bf16 = 30
    case mxfp4 = 39

    package func bytes(_ values: [Float]) -> [UInt8] {
        switch self {
        case .f32: values.flatMap { little($0.bitPattern) }
        case .f16: values.flatMap { little(NumberFormat.f16($0)) }
        case .bf16: values.flatMap { little(NumberFormat.bf16($0)) }
        case .q4_0, .q8_0, .iq4_nl, .mxfp4:
            stride(from: 0, to: values.count, by: 32).flatMap { block(Array(values[$0..<$0 + 32])) }
        }
    }

    /// A scale and 32 codes, as the public `gguf` package quantises.
    private func block(_ values: [Float]) -> [UInt8] {
        let extreme = values.max { abs($0) < abs($1) } ?? 0
        switch self {
        case .q8_0:
            let scale = abs(extreme) / 127
            let inverse = scale == 0 ? 0 : 1 / scale
            let codes = values.map { Int8(($0 * inverse).rounded(.toNearestOrAwayFromZero)) }
            return little(NumberFormat.f16(scale)) + codes.map { UInt8(bitPattern: $0) }
        case .q4_0:
            let scale = extreme / -8
            let inverse = scale == 0 ? 0 : 1 / scale
            let codes = values.map { UInt8(min(15, max(0, Int($0 * inverse + 8.5)))) }
            return packed(little(NumberFormat.f16(scale)), codes)
        case .mxfp4:
            // The greatest value is 4 to 8 times the scale.
            let exponent = extreme == 0 ? -127 : Int(abs(extreme).exponent) - 2
            let scale = Float(sign: .plus, exponent: exponent - 1, significand: 1)
            return packed([UInt8(exponent + 127)], nearest(values, .e2m1, scale))
        default:
            let scale = extreme / -127
            return packed(little(NumberFormat.f16(scale)), nearest(values, .nonLinear, scale))
        }
    }

    private func nearest(_ values: [Float], _ table: CodeTable, _ scale: Float) -> [UInt8] {
        values.map { value in
            let levels = table.values.map { abs(Float($0) * scale - value) }
            return UInt8(levels.indices.min { levels[$0] < levels[$1] } ?? 0)
        }
    }

    private func packed(_ scale: [UInt8], _ codes: [UInt8]) -> [UInt8] {
        scale + (0..<16).map { codes[$0] | codes[$0 + 16] << 4 }
    }
}

import Compute

/// The types whose blocks the container has no format for: those of 256 elements, in groups with scales that are multiples
/// of the block's own, and those of 32 with an offset or a fifth bit.
extension GGUFType {
    /// The arithmetic of one such type: a block's bytes into its values. nil for other types.
    var blockDecoding: ((UnsafeRawBufferPointer, UnsafeMutableBufferPointer<Float>) -> Void)? {
        switch self {
        case .q4_1: { unsafe Self.decodeSmall($0, hasOffset: true, high: nil, into: $1) }
        case .q5_0: { unsafe Self.decodeSmall($0, hasOffset: false, high: 2, into: $1) }
        case .q5_1: { unsafe Self.decodeSmall($0, hasOffset: true, high: 4, into: $1) }
        case .q4_k: { unsafe Self.decodeOffset($0, high: nil, into: $1) }
        case .q5_k: { unsafe Self.decodeOffset($0, high: 16, into: $1) }
        case .q6_k: { unsafe Self.decodeSigned($0, into: $1) }
        default: nil
        }
    }

    /// Q4_K and Q5_K: `d · s[g] · q − dmin · m[g]` for the element of group g, of 32 elements each, where s and m have six
    /// bits. A block has d, dmin, eight pairs of s and m in 12 bytes, for Q5_K the codes' fifth bits, and their lower four.
    ///
    /// - Parameter high: where the fifth bits begin, 32 bytes of which bit g is group g's.
    private static func decodeOffset(
        _ block: UnsafeRawBufferPointer, high: Int?, into values: UnsafeMutableBufferPointer<Float>
    ) {
        let scale = unsafe half(block, 0)
        let leastScale = unsafe half(block, 2)
        let codes = high.map { $0 + 32 } ?? 16
        for group in 0..<8 {
            let (multiple, least): (UInt8, UInt8)
            let place = 4 + group % 4
            if group < 4 {
                (multiple, least) = unsafe (block[place] & 63, block[place + 4] & 63)
            } else {
                let upper = unsafe block[place + 8]
                multiple = unsafe upper & 15 | block[place] >> 2 & 48
                least = unsafe upper >> 4 | block[place + 4] >> 2 & 48
            }
            let (step, offset) = (scale * Float(multiple), leastScale * Float(least))
            for index in 0..<32 {
                let byte = unsafe block[codes + group / 2 * 32 + index]
                var code = group.isMultiple(of: 2) ? byte & 15 : byte >> 4
                if let high { code |= unsafe (block[high + index] >> UInt8(group) & 1) << 4 }
                unsafe values[group * 32 + index] = step * Float(code) - offset
            }
        }
    }

    /// Q6_K: `d · s[e / 16] · (q − 32)` for element e. A block has the codes' lower four bits in two halves, their upper
    /// two, 16 signed bytes s, and d.
    private static func decodeSigned(
        _ block: UnsafeRawBufferPointer, into values: UnsafeMutableBufferPointer<Float>
    ) {
        let scale = unsafe half(block, 208)
        for row in 0..<8 {
            let (part, quarter) = (row / 4, row % 4)
            for index in 0..<32 {
                let element = row * 32 + index
                let byte = unsafe block[part * 64 + quarter % 2 * 32 + index]
                let low = quarter < 2 ? byte & 15 : byte >> 4
                let high = unsafe block[128 + part * 32 + index] >> UInt8(2 * quarter) & 3
                let multiple = unsafe Float(Int8(bitPattern: block[192 + element / 16]))
                unsafe values[element] = scale * multiple * Float(Int(low | high << 4) - 32)
            }
        }
    }

    /// Q4_1, Q5_0 and Q5_1: `d · q + m`, or `d · (q − 16)` without an m. A block has d, m, the codes' fifth bits, bit e of
    /// 32 for element e, and their lower four: byte i has element i in the low and 16 + i in the high half.
    ///
    /// - Parameter high: where the fifth bits begin.
    private static func decodeSmall(
        _ block: UnsafeRawBufferPointer, hasOffset: Bool, high: Int?, into values: UnsafeMutableBufferPointer<Float>
    ) {
        let scale = unsafe half(block, 0)
        let offset = hasOffset ? unsafe half(block, 2) : 0
        let codes = (high.map { $0 + 4 }) ?? 4
        for element in 0..<32 {
            let byte = unsafe block[codes + element % 16]
            var code = Int(element < 16 ? byte & 15 : byte >> 4)
            if let high { code |= unsafe Int(block[high + element / 8] >> UInt8(element % 8) & 1) << 4 }
            unsafe values[element] = hasOffset ? scale * Float(code) + offset : scale * Float(code - 16)
        }
    }

    private static func half(_ block: UnsafeRawBufferPointer, _ place: Int) -> Float {
        NumberFormat.float(f16: unsafe UInt16(block[place]) | UInt16(block[place + 1]) << 8)
    }
}

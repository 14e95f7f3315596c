/// Turns the element types of a checkpoint into binary32.
enum FloatReading {
    /// - Parameters:
    ///   - element: one of F32, F16, BF16, or F8_E4M3 (unscaled).
    ///   - source: `destination.count` elements, in any alignment.
    static func convert(
        _ element: ElementType, _ source: UnsafeRawBufferPointer, into destination: UnsafeMutableBufferPointer<Float>
    ) {
        precondition(source.count == destination.count * element.byteCount)
        switch element {
        case .f32: unsafe UnsafeMutableRawBufferPointer(destination).copyMemory(from: source)
        case .bf16:
            for index in destination.indices {
                let bits = unsafe source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)
                unsafe destination[index] = Float(bitPattern: UInt32(UInt16(littleEndian: bits)) << 16)
            }
        case .f16:
            for index in destination.indices {
                let bits = unsafe source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)
                unsafe destination[index] = Float(Float16(bitPattern: UInt16(littleEndian: bits)))
            }
        case .f8e4m3:
            unsafe e4m3Values.withUnsafeBufferPointer { values in
                for index in destination.indices {
                    unsafe destination[index] = values[Int(source[index])]
                }
            }
        default: preconditionFailure("\(element) is no weight type")
        }
    }

    /// The 256 values of e4m3fn: bias 7, subnormals in steps of 2⁻⁹, no infinity, NaN where all bits but the sign are set.
    static let e4m3Values: [Float] = (0..<256).map { byte in
        let sign: Float = byte & 0x80 == 0 ? 1 : -1
        let exponent = byte >> 3 & 0xF
        let fraction = byte & 7
        if exponent == 15, fraction == 7 { return .nan }
        let magnitude =
            exponent == 0
            ? Float(sign: .plus, exponent: -9, significand: Float(fraction))
            : Float(sign: .plus, exponent: exponent - 10, significand: Float(8 + fraction))
        return sign * magnitude
    }

    /// The place of the first NaN or infinity.
    ///
    /// The scan for *whether* there is one has no branch, so that it costs next to nothing when there is none.
    static func firstNotFinite(in values: UnsafeBufferPointer<Float>) -> Int? {
        var exponents: UInt32 = 0
        for index in values.indices {
            let isSpecial = unsafe values[index].bitPattern & 0x7F80_0000 == 0x7F80_0000
            exponents |= isSpecial ? 1 : 0
        }
        return exponents == 0 ? nil : unsafe values.firstIndex { !$0.isFinite }
    }
}

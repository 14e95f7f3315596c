internal import CKernels

/// Number formats in bulk, to nearest even. A NaN stays a NaN; what f16 can't hold becomes an infinity.
extension Kernels {
    package static func convert(f16 x: UnsafePointer<UInt16>, count: Int, into y: UnsafeMutablePointer<Float>) {
        unsafe moed_f16_to_f32(x, Int64(count), y)
    }

    package static func convert(_ x: UnsafePointer<Float>, count: Int, intoF16 y: UnsafeMutablePointer<UInt16>) {
        unsafe moed_f32_to_f16(x, Int64(count), y)
    }

    package static func convert(bf16 x: UnsafePointer<UInt16>, count: Int, into y: UnsafeMutablePointer<Float>) {
        unsafe moed_bf16_to_f32(x, Int64(count), y)
    }

    package static func convert(_ x: UnsafePointer<Float>, count: Int, intoBF16 y: UnsafeMutablePointer<UInt16>) {
        unsafe moed_f32_to_bf16(x, Int64(count), y)
    }

    /// FP8 e4m3 as checkpoints use it: no infinities, 0x7f and 0xff are NaN.
    package static func convert(f8e4m3 x: UnsafePointer<UInt8>, count: Int, into y: UnsafeMutablePointer<Float>) {
        unsafe moed_f8e4m3_to_f32(x, Int64(count), y)
    }
}

/// Single values, where a bulk call would be out of proportion.
package enum NumberFormat {
    package static func float(scale bits: UInt16, _ format: ScaleFormat) -> Float {
        switch format {
        case .f16: float(f16: bits)
        case .bf16: float(bf16: bits)
        }
    }

    package static func float(f16 bits: UInt16) -> Float {
        var result: Float = 0
        unsafe withUnsafePointer(to: bits) { unsafe moed_f16_to_f32($0, 1, &result) }
        return result
    }

    /// To nearest even.
    package static func f16(_ value: Float) -> UInt16 {
        var result: UInt16 = 0
        unsafe withUnsafePointer(to: value) { unsafe moed_f32_to_f16($0, 1, &result) }
        return result
    }

    package static func float(bf16 bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

    /// To nearest even.
    package static func bf16(_ value: Float) -> UInt16 {
        var result: UInt16 = 0
        unsafe withUnsafePointer(to: value) { unsafe moed_f32_to_bf16($0, 1, &result) }
        return result
    }
}

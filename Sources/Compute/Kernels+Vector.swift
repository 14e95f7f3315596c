internal import CKernels

/// Vectors of `count` floats. An output may be one of the inputs, but not overlap one in part.
extension Kernels {
    package func dot(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, count: Int) -> Float {
        unsafe table.pointee.dot(x, y, Int64(count))
    }

    /// The second operand in bf16.
    package func dot(_ x: UnsafePointer<Float>, bf16 y: UnsafePointer<UInt16>, count: Int) -> Float {
        unsafe table.pointee.dot_bf16(x, y, Int64(count))
    }

    /// `y += a · x`
    package func axpy(_ a: Float, _ x: UnsafePointer<Float>, count: Int, into y: UnsafeMutablePointer<Float>) {
        unsafe table.pointee.axpy(a, x, Int64(count), y)
    }

    /// `y += a · x`, x in bf16.
    package func axpy(_ a: Float, bf16 x: UnsafePointer<UInt16>, count: Int, into y: UnsafeMutablePointer<Float>) {
        unsafe table.pointee.axpy_bf16(a, x, Int64(count), y)
    }

    /// `x *= a`
    package func scale(_ x: UnsafeMutablePointer<Float>, by a: Float, count: Int) {
        unsafe table.pointee.scale(a, Int64(count), x)
    }

    /// `y += x`
    package func add(_ x: UnsafePointer<Float>, count: Int, into y: UnsafeMutablePointer<Float>) {
        unsafe table.pointee.add(x, Int64(count), y)
    }

    /// `y = x / sqrt(mean(x²) + epsilon) · weight`
    package func rmsNorm(
        _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, epsilon: Float, count: Int,
        into y: UnsafeMutablePointer<Float>
    ) {
        unsafe table.pointee.rms_norm(x, weight, epsilon, Int64(count), y)
    }

    /// `y = gate / (1 + exp(−gate)) · up`
    package func siluMultiply(
        gate: UnsafePointer<Float>, up: UnsafePointer<Float>, count: Int, into y: UnsafeMutablePointer<Float>
    ) {
        unsafe table.pointee.silu_multiply(gate, up, Int64(count), y)
    }

    /// What `ClampedGating` says, of gate and up with their biases.
    package func clampedMultiply(
        _ gating: ClampedGating, gate: UnsafePointer<Float>, up: UnsafePointer<Float>, count: Int,
        into y: UnsafeMutablePointer<Float>
    ) {
        unsafe table.pointee.clamped_multiply(gating.slope, gating.limit, gate, up, Int64(count), y)
    }

    /// `x = max(0, x)`; a NaN stays.
    package func relu(_ x: UnsafeMutablePointer<Float>, count: Int) {
        unsafe table.pointee.relu(Int64(count), x)
    }

    /// `y = 1 / (1 + exp(−x))`
    package func sigmoid(_ x: UnsafePointer<Float>, count: Int, into y: UnsafeMutablePointer<Float>) {
        unsafe table.pointee.sigmoid(x, Int64(count), y)
    }

    /// `y = exp(x)`, within one unit in the last place.
    package func exponentials(_ x: UnsafePointer<Float>, count: Int, into y: UnsafeMutablePointer<Float>) {
        unsafe table.pointee.exponentials(x, Int64(count), y)
    }

    /// −∞ for an empty vector; a NaN is passed over.
    package func maximum(_ x: UnsafePointer<Float>, count: Int) -> Float {
        unsafe table.pointee.maximum(x, Int64(count))
    }

    package func sum(_ x: UnsafePointer<Float>, count: Int) -> Float {
        unsafe table.pointee.sum(x, Int64(count))
    }

    /// `x = exp(x − max) / Σ exp(x − max)`
    package func softmax(_ x: UnsafeMutablePointer<Float>, count: Int) {
        unsafe table.pointee.softmax(Int64(count), x)
    }
}

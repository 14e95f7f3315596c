import Compute

/// Turns the element types of a checkpoint into binary32.
enum FloatReading {
    /// - Parameters:
    ///   - element: one of F32, F16, BF16, or F8_E4M3 (unscaled).
    ///   - source: `destination.count` elements, aligned to their size.
    static func convert(
        _ element: ElementType, _ source: UnsafeRawBufferPointer, into destination: UnsafeMutableBufferPointer<Float>
    ) {
        precondition(source.count == destination.count * element.byteCount)
        guard let target = destination.baseAddress, let start = source.baseAddress else { return }
        let count = destination.count
        switch element {
        case .f32: unsafe UnsafeMutableRawBufferPointer(destination).copyMemory(from: source)
        case .bf16: unsafe Kernels.convert(bf16: start.assumingMemoryBound(to: UInt16.self), count: count, into: target)
        case .f16: unsafe Kernels.convert(f16: start.assumingMemoryBound(to: UInt16.self), count: count, into: target)
        case .f8e4m3:
            unsafe Kernels.convert(f8e4m3: start.assumingMemoryBound(to: UInt8.self), count: count, into: target)
        default: preconditionFailure("\(element) is no weight type")
        }
    }

    /// The place of the first NaN or infinity.
    ///
    /// The scan for *whether* there is one has no branch, so that it costs next to nothing when there is none.
    static func firstNotFinite(in values: UnsafeBufferPointer<Float>) -> Int? {
        var found: UInt32 = 0
        for index in values.indices {
            let isSpecial = unsafe values[index].bitPattern & 0x7F80_0000 == 0x7F80_0000
            found |= isSpecial ? 1 : 0
        }
        return found == 0 ? nil : unsafe values.firstIndex { !$0.isFinite }
    }
}

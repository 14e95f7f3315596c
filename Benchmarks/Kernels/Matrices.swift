import Compute

/// So many matrices of one shape that they come from memory and from no cache.
struct Matrices {
    let shape: MatrixShape
    let count: Int
    let memory: AlignedMemory

    init(shape: MatrixShape, byteCount: Int) throws {
        self.shape = shape
        count = byteCount / shape.byteCount
        memory = try AlignedMemory(byteCount: count * shape.byteCount, wantsHugePages: true)
        let words = unsafe memory.base.assumingMemoryBound(to: UInt16.self)
        // 0x1c.. are ordinary numbers as f16, and any codes.
        var state: UInt32 = 1
        for index in 0..<memory.byteCount / 2 {
            state = state &* 1_664_525 &+ 1_013_904_223
            unsafe words[index] = 0x1c00 | UInt16(truncatingIfNeeded: state >> 20)
        }
    }

    func matrix(_ index: Int, _ table: CodeTable) -> Matrix {
        unsafe Matrix(base: UnsafeRawPointer(memory.base + index * shape.byteCount), shape: shape, table: table)
    }
}

internal import CKernels

/// What the machine itself can do, for measuring against.
extension Kernels {
    /// Multiplies and adds bytes in registers alone, by the instructions that the int8 products use, and returns how many
    /// multiply-adds that were. A round is one of several dozen instructions.
    package func spendMultiplyAdds(rounds: Int) -> Int {
        unsafe Int(table.pointee.spend_multiply_adds(Int64(rounds)))
    }

    /// Reads every byte of memory once and returns a sum of them all.
    ///
    /// - Parameter bytes: a multiple of 256.
    package static func read(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        precondition(bytes.count % 256 == 0)
        return unsafe bytes.baseAddress.map { unsafe moed_read($0, Int64(bytes.count)) } ?? 0
    }
}

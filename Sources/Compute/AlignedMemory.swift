import Glibc

/// Anonymous memory of its own, zeroed and aligned, given back in `deinit`.
///
/// Pages are only taken from the machine when they are first written. For large, long-lived buffers: every instance is
/// a mapping (`mmap`).
@safe package final class AlignedMemory: @unchecked Sendable {
    // @unchecked: the two properties never change; who may write to the bytes is the owner's agreement.

    package let base: UnsafeMutableRawPointer
    package let byteCount: Int
    private let mapping: UnsafeMutableRawPointer
    private let mappingByteCount: Int

    /// - Parameter alignment: a power of two.
    /// - Throws: `outOfMemory` when the machine refuses.
    package init(byteCount: Int, alignment: Int = 64) throws(ComputeError) {
        precondition(byteCount >= 0 && alignment > 0 && alignment & (alignment - 1) == 0)
        // A mapping starts at a page, and no page is smaller than this.
        let slack = alignment > 4096 ? alignment : 0
        let (total, overflow) = max(byteCount, 1).addingReportingOverflow(slack)
        let mapped =
            unsafe overflow ? nil : mmap(nil, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw ComputeError(
                .outOfMemory,
                "the machine has no \(byteCount) bytes of memory to give (errno \(errno)); lower --memory or --context")
        }
        unsafe mapping = mapped
        mappingByteCount = total
        unsafe base = mapped.alignedUp(toMultipleOf: alignment)
        self.byteCount = byteCount
    }

    deinit { unsafe munmap(mapping, mappingByteCount) }
}

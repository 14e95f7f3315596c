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

    /// What the processor looks up addresses by, where the machine gives it (`madvise`, transparent huge pages).
    package static let hugePageByteCount = 2 << 20

    private static let mayUseHugePages = unsafe getenv("MOED_HUGE_PAGES").map { unsafe String(cString: $0) } != "0"

    /// - Parameters:
    ///   - alignment: a power of two.
    ///   - wantsHugePages: for large buffers that are read from end to end: looking up ordinary pages costs a third of
    ///     the bandwidth on some processors. A hint: nothing is rounded up, a system without them gives ordinary pages, and
    ///     `MOED_HUGE_PAGES=0` in the environment asks for none.
    /// - Throws: `outOfMemory` when the machine refuses.
    package init(byteCount: Int, alignment: Int = 64, wantsHugePages: Bool = false) throws(ComputeError) {
        let alignment = wantsHugePages ? max(alignment, Self.hugePageByteCount) : alignment
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
        if wantsHugePages, Self.mayUseHugePages { unsafe madvise(base, byteCount, MADV_HUGEPAGE) }
    }

    /// Gives whole pages back to the machine; their bytes are zero when they are next touched (`MADV_DONTNEED`).
    ///
    /// Nobody may touch them meanwhile. `offset` and `byteCount` are multiples of the page.
    package func giveBack(at offset: Int, byteCount: Int) {
        precondition(offset >= 0 && byteCount >= 0 && offset + byteCount <= self.byteCount)
        unsafe madvise(base + offset, byteCount, MADV_DONTNEED)
    }

    deinit { unsafe munmap(mapping, mappingByteCount) }
}

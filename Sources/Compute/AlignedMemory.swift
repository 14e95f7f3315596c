import Glibc

/// Memory of its own, zeroed and aligned, given back in `deinit`: anonymous, or a part of a file without a name
/// (memfd_create(2)), whose contents outlive it as long as somebody has the file open.
///
/// Pages are only taken from the machine when they are first written. For large, long-lived buffers: every instance is
/// a mapping (`mmap`).
@safe package final class AlignedMemory: @unchecked Sendable {
    // @unchecked: the two properties never change; who may write to the bytes is the owner's agreement.

    package let base: UnsafeMutableRawPointer
    package let byteCount: Int
    private let mapping: UnsafeMutableRawPointer
    private let mappingByteCount: Int
    private let isShared: Bool

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
            throw Self.refusal(byteCount)
        }
        unsafe mapping = mapped
        mappingByteCount = total
        unsafe base = mapped.alignedUp(toMultipleOf: alignment)
        self.byteCount = byteCount
        isShared = false
        if wantsHugePages, Self.mayUseHugePages { unsafe madvise(base, byteCount, MADV_HUGEPAGE) }
    }

    /// Maps a range of a memfd that nobody can cut (`F_SEAL_SHRINK`).
    ///
    /// - Parameter offset: in the file, a multiple of `hugePageByteCount`.
    /// - Throws: `outOfMemory` when the machine refuses.
    package init(sharing descriptor: Int32, at offset: Int, byteCount: Int) throws(ComputeError) {
        precondition(byteCount > 0 && offset >= 0 && offset % Self.hugePageByteCount == 0)
        // The place is reserved first, with room to begin at a huge page.
        let total = byteCount + Self.hugePageByteCount
        let reserved = unsafe mmap(nil, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let reserved = unsafe reserved, unsafe reserved != MAP_FAILED else {
            throw Self.refusal(byteCount)
        }
        let base = unsafe reserved.alignedUp(toMultipleOf: Self.hugePageByteCount)
        let mapped = unsafe mmap(
            base, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, off_t(offset))
        guard unsafe mapped == base else {
            let refusal = Self.refusal(byteCount)
            unsafe munmap(reserved, total)
            throw refusal
        }
        unsafe mapping = reserved
        mappingByteCount = total
        unsafe self.base = base
        self.byteCount = byteCount
        isShared = true
        if Self.mayUseHugePages { unsafe madvise(base, byteCount, MADV_HUGEPAGE) }
    }

    private static func refusal(_ byteCount: Int) -> ComputeError {
        ComputeError(
            .outOfMemory,
            "the machine has no \(byteCount) bytes of memory to give (errno \(errno)); lower --memory or --context")
    }

    /// Makes huge pages of those that a range of a memfd's mapping touches, where the system only does so when told
    /// (`MADV_COLLAPSE`, Linux 6.1): its advice for shared memory is off on most. Contents stay, whoever reads or writes
    /// them meanwhile; the kernel leaves alone what was never touched. A hint, as `wantsHugePages` is.
    package func makeHuge(at offset: Int, byteCount: Int) {
        guard isShared, Self.mayUseHugePages else { return }
        let start = offset / Self.hugePageByteCount * Self.hugePageByteCount
        let end = min(
            (offset + byteCount + Self.hugePageByteCount - 1) / Self.hugePageByteCount * Self.hugePageByteCount,
            self.byteCount / Self.hugePageByteCount * Self.hugePageByteCount)
        guard start < end else { return }
        unsafe madvise(base + start, end - start, Self.collapse)
    }

    /// `MADV_COLLAPSE`, which is younger than the C library's headers.
    private static let collapse: Int32 = 25

    /// Gives whole pages back to the machine; their bytes are zero when they are next touched (`MADV_DONTNEED`, or
    /// `MADV_REMOVE` for a file's).
    ///
    /// Nobody may touch them meanwhile. `offset` and `byteCount` are multiples of the page.
    package func giveBack(at offset: Int, byteCount: Int) {
        precondition(offset >= 0 && byteCount >= 0 && offset + byteCount <= self.byteCount)
        unsafe madvise(base + offset, byteCount, isShared ? MADV_REMOVE : MADV_DONTNEED)
    }

    deinit { unsafe munmap(mapping, mappingByteCount) }
}

package import Compute
import Container
import Glibc
import Synchronization

/// Weights in a file without a name (a memfd), which a service manager holds while the daemon restarts: the dense ones,
/// the arena, and a table of what is in which slot.
///
///     0      96 bytes   header: twelve words, `Word`
///     4096   32 a slot  its entry: seal, expert, checksum of its bytes, whether huge pages were made of them
///     …      dense weights, from a huge page on
///     …      arena, from a huge page on
///
/// Words have the processor's byte order. The process may be killed at any instant: an entry is cleared before its slot's
/// bytes change and written, seal last, when they are complete. Nothing is believed unseen: the header must fit the
/// model, the build's layout and the plan to the bit, and every checksum is compared before a slot is used.
@safe package final class KeptWeights: @unchecked Sendable {
    // Sendable: a slot's entry is written only by the lane that fills the slot and, when the slot is free, by the thread that
    // takes it out of use; the header's words are atomic by their size.

    /// What must be the same for weights to be kept.
    package struct Layout: Sendable, Equatable {
        package var identity: UInt64
        package var denseByteCount: Int
        package var arenaByteCount: Int
        package var slotCount: Int
        /// Experts that the heat chose for both planes; 0 where something else decided about the planes.
        package var refinedExpertCount: Int
        /// How the experts are read, which the next run needn't measure again.
        package var laneCount: Int
        package var isDirect: Bool

        package init(
            identity: UInt64, denseByteCount: Int, arenaByteCount: Int, slotCount: Int, refinedExpertCount: Int = 0,
            laneCount: Int = ExpertStore.defaultLaneCount, isDirect: Bool = false
        ) {
            self.identity = identity
            self.denseByteCount = denseByteCount
            self.arenaByteCount = arenaByteCount
            self.slotCount = slotCount
            self.refinedExpertCount = refinedExpertCount
            self.laneCount = laneCount
            self.isDirect = isDirect
        }

        fileprivate var denseOffset: Int {
            Self.rounded(KeptWeights.tableOffset + KeptWeights.entryByteCount * slotCount)
        }
        fileprivate var arenaOffset: Int { Self.rounded(denseOffset + denseByteCount) }
        /// Of the file.
        package var byteCount: Int { arenaOffset + max(arenaByteCount, 4096) }

        private static func rounded(_ offset: Int) -> Int {
            (offset + AlignedMemory.hugePageByteCount - 1) / AlignedMemory.hugePageByteCount
                * AlignedMemory.hugePageByteCount
        }
    }

    private enum Word: Int {
        case magic, version, identity, denseByteCount, arenaByteCount, slotCount
        /// `sealed` once the dense weights are complete.
        case denseSeal
        /// Runs that began with these weights since one lasted.
        case runCount
        case laneCount, isDirect, refinedExpertCount
        /// How often the kernel had killed for want of memory when a run last looked.
        case killCount
    }

    private static let magic: UInt64 = 0x6d6f_6564_6b65_7074
    private static let version: UInt64 = 2
    private static let sealed: UInt64 = 0x5ea1_ed00_5ea1_ed00
    fileprivate static let tableOffset = 4096
    fileprivate static let entryByteCount = 32
    private static let headerWordCount = 12

    package let layout: Layout
    package let descriptor: Int32
    package let dense: AlignedMemory
    package let arena: AlignedMemory
    /// Header and table.
    private let table: AlignedMemory

    /// Maps the file, which must have been checked or is new.
    private init(descriptor: Int32, layout: Layout) throws(ComputeError) {
        self.layout = layout
        self.descriptor = descriptor
        table = try AlignedMemory(
            sharing: descriptor, at: 0, byteCount: Self.tableOffset + Self.entryByteCount * layout.slotCount)
        dense = try AlignedMemory(
            sharing: descriptor, at: layout.denseOffset, byteCount: max(layout.denseByteCount, 4096))
        arena = try AlignedMemory(
            sharing: descriptor, at: layout.arenaOffset, byteCount: max(layout.arenaByteCount, 4096))
    }

    deinit { close(descriptor) }

    /// Makes a new file of an empty memfd, which it owns from now on.
    package convenience init(new descriptor: Int32, layout: Layout) throws(PagingError) {
        guard ftruncate(descriptor, off_t(layout.byteCount)) == 0,
            fcntl(descriptor, Self.addSeals, Self.sizeSeals) == 0
        else {
            let code = errno
            close(descriptor)
            throw PagingError(
                .outOfMemory,
                "\(layout.byteCount) bytes of memory that outlives the process: \(unsafe String(cString: strerror(code)))"
            )
        }
        do {
            try self.init(descriptor: descriptor, layout: layout)
        } catch {
            close(descriptor)
            throw PagingError(.outOfMemory, "memory that outlives the process: \(error)")
        }
        self[.identity] = layout.identity
        self[.denseByteCount] = UInt64(layout.denseByteCount)
        self[.arenaByteCount] = UInt64(layout.arenaByteCount)
        self[.slotCount] = UInt64(layout.slotCount)
        self[.laneCount] = UInt64(layout.laneCount)
        self[.isDirect] = layout.isDirect ? 1 : 0
        self[.refinedExpertCount] = UInt64(layout.refinedExpertCount)
        self[.version] = Self.version
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        self[.magic] = Self.magic
    }

    // MARK: What an earlier run left

    /// What a memfd says of itself, and how much memory it takes.
    package struct Claim: Sendable, Equatable {
        package let layout: Layout
        package let residentByteCount: Int
        package let runCount: Int
        package let killCount: Int
    }

    /// Memory that the file takes now.
    package var residentByteCount: Int {
        var status = stat()
        return unsafe fstat(descriptor, &status) == 0 ? Int(status.st_blocks) * 512 : 0
    }

    /// Reads a memfd's header. Throws `.badKept` with the reason why it can't be used.
    package static func claim(of descriptor: Int32) throws(PagingError) -> Claim {
        var status = stat()
        let seals = fcntl(descriptor, getSeals, 0)
        guard unsafe fstat(descriptor, &status) == 0, seals >= 0, seals & sizeSeals == sizeSeals else {
            throw PagingError(.badKept, "what was kept isn't memory of a fixed size")
        }
        var words = [UInt64](repeating: 0, count: headerWordCount)
        let count = unsafe words.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
        func word(_ word: Word) -> UInt64 { words[word.rawValue] }
        guard count == 8 * headerWordCount, word(.magic) == magic else {
            throw PagingError(.badKept, "what was kept wasn't finished, or isn't moed's")
        }
        guard word(.version) == version else {
            throw PagingError(.badKept, "what was kept has the layout \(word(.version)), and \(version) is expected")
        }
        let limit = UInt64(1) << 50
        guard word(.denseByteCount) < limit, word(.arenaByteCount) < limit, word(.slotCount) < 1 << 32,
            1...64 ~= word(.laneCount), word(.isDirect) <= 1, word(.refinedExpertCount) < 1 << 32
        else {
            throw PagingError(.badKept, "what was kept has impossible sizes")
        }
        let layout = Layout(
            identity: word(.identity), denseByteCount: Int(word(.denseByteCount)),
            arenaByteCount: Int(word(.arenaByteCount)), slotCount: Int(word(.slotCount)),
            refinedExpertCount: Int(word(.refinedExpertCount)),
            laneCount: Int(word(.laneCount)), isDirect: word(.isDirect) == 1)
        guard layout.byteCount == Int(status.st_size) else {
            throw PagingError(
                .badKept, "what was kept is \(status.st_size) bytes long, and \(layout.byteCount) are expected")
        }
        return Claim(
            layout: layout, residentByteCount: Int(status.st_blocks) * 512, runCount: Int(clamping: word(.runCount)),
            killCount: Int(clamping: word(.killCount)))
    }

    /// Maps what an earlier run left, which becomes this object's; another run has begun with it then.
    package convenience init(adopting descriptor: Int32, _ claim: Claim) throws(PagingError) {
        do {
            try self.init(descriptor: descriptor, layout: claim.layout)
        } catch {
            throw PagingError(.outOfMemory, "what was kept: \(error)")
        }
        self[.runCount] = UInt64(claim.runCount + 1)
    }

    /// This run has lasted: what was kept does no harm.
    package func noteLasting() { self[.runCount] = 0 }

    /// How often the kernel has killed for want of memory, as far as is known: who finds another figure follows a run that
    /// may have been killed so.
    package var killCount: Int {
        get { Int(clamping: self[.killCount]) }
        set { self[.killCount] = UInt64(newValue) }
    }

    package var isDenseComplete: Bool {
        get { self[.denseSeal] == Self.sealed }
        set {
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            self[.denseSeal] = newValue ? Self.sealed : 0
            atomicMemoryFence(ordering: .sequentiallyConsistent)
        }
    }

    // MARK: Slots

    /// Which expert a slot holds, and the checksum of its bytes; nil when they aren't complete.
    func entry(of slot: Int) -> (expert: Int, checksum: UInt64)? {
        let words = unsafe entryWords(slot)
        let (seal, expert, checksum) = unsafe (words[0], words[1], words[2])
        guard seal == Self.seal(slot, expert, checksum, layout.identity), expert < 1 << 32 else { return nil }
        return (Int(expert), checksum)
    }

    /// The slot's bytes are about to change.
    package func clear(_ slot: Int) {
        unsafe entryWords(slot)[0] = 0
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// The slot's bytes are complete.
    func complete(_ slot: Int, expert: Int, checksum: UInt64) {
        let words = unsafe entryWords(slot)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        unsafe words[1] = UInt64(expert)
        unsafe words[2] = checksum
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        unsafe words[0] = Self.seal(slot, UInt64(expert), checksum, layout.identity)
    }

    /// Whether huge pages were made of the slot's.
    func isHuge(_ slot: Int) -> Bool { unsafe entryWords(slot)[3] != 0 }

    func setHuge(_ slot: Int, _ isHuge: Bool) { unsafe entryWords(slot)[3] = isHuge ? 1 : 0 }

    private func entryWords(_ slot: Int) -> UnsafeMutablePointer<UInt64> {
        precondition(slot >= 0 && slot < layout.slotCount)
        return unsafe (table.base + Self.tableOffset + slot * Self.entryByteCount).assumingMemoryBound(to: UInt64.self)
    }

    /// Never 0.
    private static func seal(_ slot: Int, _ expert: UInt64, _ checksum: UInt64, _ identity: UInt64) -> UInt64 {
        unsafe [UInt64(slot), expert, checksum, identity].withUnsafeBytes { unsafe XXH3.hash($0) } | 1
    }

    private subscript(word: Word) -> UInt64 {
        get { unsafe table.base.load(fromByteOffset: 8 * word.rawValue, as: UInt64.self) }
        set { unsafe table.base.storeBytes(of: newValue, toByteOffset: 8 * word.rawValue, as: UInt64.self) }
    }

    /// `F_ADD_SEALS`, `F_GET_SEALS`, `F_SEAL_SHRINK | F_SEAL_GROW`, which the headers hide from Swift.
    private static let addSeals: Int32 = 1033
    private static let getSeals: Int32 = 1034
    private static let sizeSeals: Int32 = 0x0002 | 0x0004
}

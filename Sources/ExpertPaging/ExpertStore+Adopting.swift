package import Compute
import Container

extension ExpertStore {
    /// What came of the experts that an earlier run left in memory.
    package struct Adoption: Sendable, Equatable {
        package var expertCount = 0
        /// Slots whose bytes aren't what was said of them; they are free.
        package var damagedCount = 0

        package init() {}
    }

    /// Takes over the experts that an earlier run left in the arena, those whose bytes have their checksum. Before the first
    /// `acquire`.
    package func adoptKept(on pool: ThreadPool) -> Adoption {
        var adoption = Adoption()
        guard let kept = core.kept else { return adoption }
        var entries: [(slot: Int, expert: Int, checksum: UInt64)] = []
        var isTaken = Array(repeating: false, count: core.sources.count)
        for slot in 0..<slotCount {
            guard let entry = kept.entry(of: slot) else { continue }
            // An expert may have been moved when the run ended: either slot has it right.
            guard entry.expert < core.sources.count, !isTaken[entry.expert],
                core.table.fits(expert: entry.expert, slot: slot)
            else {
                kept.clear(slot)
                continue
            }
            isTaken[entry.expert] = true
            entries.append((slot, entry.expert, entry.checksum))
        }
        let (core, all) = (core, entries)
        // [entries], each written by one thread.
        let sound = UnsafeMutableBufferPointer<Bool>.allocate(capacity: all.count)
        defer { unsafe sound.deallocate() }
        pool.forEach(all.count) { index in
            let (slot, expert, checksum) = all[index]
            let source = core.sources[expert]
            let isSaid = !source.isStored || checksum == source.blob.checksum
            unsafe sound[index] = isSaid && core.checksum(of: slot, byteCount: source.byteCount) == checksum
        }
        var good: [(slot: Int, expert: Int)] = []
        for (index, entry) in all.enumerated() {
            if unsafe sound[index] {
                good.append((entry.slot, entry.expert))
            } else {
                kept.clear(entry.slot)
                adoption.damagedCount += 1
            }
        }
        adoption.expertCount = good.count
        core.monitor.lock()
        core.table.adopt(good)
        core.monitor.unlock()
        return adoption
    }
}

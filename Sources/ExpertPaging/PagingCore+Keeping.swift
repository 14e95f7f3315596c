import Compute
import Container

/// A slot's bytes and what is kept of them for the next run.
extension PagingCore {
    /// The lane has filled a slot.
    func keep(_ expert: Int, in slot: Int) {
        guard let kept else { return }
        let source = sources[expert]
        // What stands in the file as it does in memory has the checksum that the file says.
        let checksum =
            source.isStored ? source.blob.checksum : checksum(of: slot, byteCount: source.byteCount)
        kept.complete(slot, expert: expert, checksum: checksum)
        guard !kept.isHuge(slot) else { return }
        arena.makeHuge(at: slotOffsets[slot], byteCount: source.byteCount)
        kept.setHuge(slot, true)
    }

    /// XXH3-64 of the slot's first bytes.
    func checksum(of slot: Int, byteCount: Int) -> UInt64 {
        unsafe XXH3.hash(UnsafeRawBufferPointer(start: address(of: slot), count: byteCount))
    }
}

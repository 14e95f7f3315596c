package import Compute

/// One layer's part of a sequence's past.
@safe package struct CachedLayer {
    /// [blocks]: where each begins.
    private let blocks: UnsafePointer<UnsafeMutableRawPointer>
    package let format: CacheFormat
    private let layout: KeyValueCache.Layout
    private let offset: Int

    package init(_ blocks: UnsafePointer<UnsafeMutableRawPointer>, layer: Int, of cache: KeyValueCache) {
        unsafe self.blocks = blocks
        format = cache.format
        layout = cache.layout
        offset = layer * cache.layout.layerByteCount
    }

    /// A head's share of all positions' first part: of latents, or of keys.
    package func firstRows(head: Int = 0) -> CachedRows { rows(offset, size: layout.sizes.first, head: head) }

    /// A head's share of all positions' second part: of rotary keys, or of values.
    package func secondRows(head: Int = 0) -> CachedRows {
        rows(offset + layout.firstByteCount, size: layout.sizes.second, head: head)
    }

    private func rows(_ offset: Int, size: Int, head: Int) -> CachedRows {
        let width = size / layout.headCount
        let place = head * KeyValueCache.blockLength * width * format.elementByteCount
        return unsafe CachedRows(
            blocks: blocks, offset: offset + place, format: format.blockFormat, stride: width, width: width)
    }

    /// Remembers a position: [heads, share] of both parts.
    package func store(_ first: UnsafePointer<Float>, _ second: UnsafePointer<Float>, at position: Int) {
        for head in 0..<layout.headCount {
            unsafe store(first, head: head, in: firstRows(head: head), at: position)
            unsafe store(second, head: head, in: secondRows(head: head), at: position)
        }
    }

    private func store(_ values: UnsafePointer<Float>, head: Int, in rows: CachedRows, at position: Int) {
        let count = rows.width
        let share = unsafe values + head * count
        let row = unsafe UnsafeMutableRawPointer(mutating: rows.row(position))
        switch format {
        case .f32: unsafe row.assumingMemoryBound(to: Float.self).update(from: share, count: count)
        case .bf16: unsafe Kernels.convert(share, count: count, intoBF16: row.assumingMemoryBound(to: UInt16.self))
        }
    }

    /// A block's first `count` rows of the first part, of which one head has all, as floats.
    func readFirst(block: Int, count: Int, into floats: UnsafeMutablePointer<Float>) {
        let values = unsafe firstRows().row(block * KeyValueCache.blockLength)
        let count = count * layout.sizes.first
        switch format {
        case .f32: unsafe floats.update(from: values.assumingMemoryBound(to: Float.self), count: count)
        case .bf16:
            unsafe Kernels.convert(bf16: values.assumingMemoryBound(to: UInt16.self), count: count, into: floats)
        }
    }
}

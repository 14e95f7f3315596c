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

    /// Some elements of all positions' first part: of latents, or of keys.
    package func firstRows(from element: Int = 0, width: Int? = nil) -> CachedRows {
        rows(offset, size: layout.sizes.first, from: element, width: width)
    }

    /// Some elements of all positions' second part: of rotary keys, or of values.
    package func secondRows(from element: Int = 0, width: Int? = nil) -> CachedRows {
        rows(offset + layout.firstByteCount, size: layout.sizes.second, from: element, width: width)
    }

    private func rows(_ offset: Int, size: Int, from element: Int, width: Int?) -> CachedRows {
        unsafe CachedRows(
            blocks: blocks, offset: offset + element * format.elementByteCount, format: format.blockFormat,
            stride: size, width: width ?? size)
    }

    /// Remembers a position.
    package func store(_ first: UnsafePointer<Float>, _ second: UnsafePointer<Float>, at position: Int) {
        unsafe store(first, count: layout.sizes.first, in: UnsafeMutableRawPointer(mutating: firstRows().row(position)))
        unsafe store(
            second, count: layout.sizes.second, in: UnsafeMutableRawPointer(mutating: secondRows().row(position)))
    }

    private func store(_ values: UnsafePointer<Float>, count: Int, in row: UnsafeMutableRawPointer) {
        switch format {
        case .f32: unsafe row.assumingMemoryBound(to: Float.self).update(from: values, count: count)
        case .bf16:
            unsafe Kernels.convert(values, count: count, intoBF16: row.assumingMemoryBound(to: UInt16.self))
        }
    }

    /// A block's first `count` rows of the first part as floats.
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

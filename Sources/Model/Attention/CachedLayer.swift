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

    /// [blockLength, first] of a block, in `format`: latents, or keys.
    private func first(block: Int) -> UnsafeMutableRawPointer { unsafe blocks[block] + offset }

    /// [blockLength, second] of a block, in `format`: rotary keys, or values.
    private func second(block: Int) -> UnsafeMutableRawPointer {
        unsafe blocks[block] + offset + layout.firstByteCount
    }

    /// Some elements of a block's rows, the first part's.
    package func firstRows(block: Int, from element: Int = 0, width: Int? = nil) -> CachedRows {
        unsafe CachedRows(
            first(block: block) + element * format.elementByteCount, format: format.blockFormat,
            stride: layout.sizes.first, width: width ?? layout.sizes.first)
    }

    /// Some elements of a block's rows, the second part's.
    package func secondRows(block: Int, from element: Int = 0, width: Int? = nil) -> CachedRows {
        unsafe CachedRows(
            second(block: block) + element * format.elementByteCount, format: format.blockFormat,
            stride: layout.sizes.second, width: width ?? layout.sizes.second)
    }

    /// Remembers a position.
    package func store(_ first: UnsafePointer<Float>, _ second: UnsafePointer<Float>, at position: Int) {
        let (block, place) = position.quotientAndRemainder(dividingBy: KeyValueCache.blockLength)
        unsafe store(first, count: layout.sizes.first, at: place, in: self.first(block: block))
        unsafe store(second, count: layout.sizes.second, at: place, in: self.second(block: block))
    }

    private func store(
        _ values: UnsafePointer<Float>, count: Int, at place: Int, in memory: UnsafeMutableRawPointer
    ) {
        switch format {
        case .f32:
            unsafe (memory.assumingMemoryBound(to: Float.self) + place * count).update(from: values, count: count)
        case .bf16:
            unsafe Kernels.convert(
                values, count: count, intoBF16: memory.assumingMemoryBound(to: UInt16.self) + place * count)
        }
    }

    /// A block's first `count` rows of the first part as floats.
    func readFirst(block: Int, count: Int, into floats: UnsafeMutablePointer<Float>) {
        let values = unsafe first(block: block)
        let count = count * layout.sizes.first
        switch format {
        case .f32: unsafe floats.update(from: values.assumingMemoryBound(to: Float.self), count: count)
        case .bf16:
            unsafe Kernels.convert(bf16: values.assumingMemoryBound(to: UInt16.self), count: count, into: floats)
        }
    }
}

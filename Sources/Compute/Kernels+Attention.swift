internal import CKernels

/// Keys or values of neighbouring positions, borrowed: f32 or bf16, one row a position.
@safe package struct CachedRows {
    private let rows: moed_cached

    /// Rows from `base` on.
    ///
    /// - Parameters:
    ///   - stride: elements from one position to the next.
    ///   - width: elements of a position that count.
    package init(_ base: UnsafeRawPointer, format: BlockFormat, stride: Int, width: Int) {
        precondition(format == .f32 || format == .bf16)
        unsafe rows = moed_cached(
            base: base.assumingMemoryBound(to: UInt8.self), blocks: nil, offset: 0, stride: Int64(stride),
            width: Int64(width), format: format.rawValue)
    }

    /// Rows in blocks of `Kernels.attentionBlock` positions, `offset` bytes behind each block's beginning.
    package init(
        blocks: UnsafePointer<UnsafeMutableRawPointer>, offset: Int, format: BlockFormat, stride: Int, width: Int
    ) {
        precondition(format == .f32 || format == .bf16)
        unsafe rows = moed_cached(
            base: nil, blocks: UnsafeRawPointer(blocks).assumingMemoryBound(to: UnsafePointer<UInt8>?.self),
            offset: Int64(offset), stride: Int64(stride), width: Int64(width), format: format.rawValue)
    }

    package var format: BlockFormat { unsafe BlockFormat(rawValue: rows.format)! }
    package var width: Int { unsafe Int(rows.width) }

    /// Where a position's row begins.
    package func row(_ position: Int) -> UnsafeRawPointer {
        let size = unsafe Int(rows.stride) * (format == .f32 ? 4 : 2)
        guard let blocks = unsafe rows.blocks else { return unsafe UnsafeRawPointer(rows.base!) + position * size }
        let (block, place) = position.quotientAndRemainder(dividingBy: Kernels.attentionBlock)
        return unsafe UnsafeRawPointer(blocks[block]!) + Int(rows.offset) + place * size
    }

    /// The rows of one block of positions, which count from 0 there.
    package func block(_ index: Int) -> CachedRows {
        unsafe CachedRows(
            row(index * Kernels.attentionBlock), format: format, stride: Int(rows.stride), width: width)
    }

    var view: moed_cached { unsafe rows }
}

/// Rows of floats, one for each head of each token, borrowed.
@safe package struct HeadRows {
    package let base: UnsafeMutablePointer<Float>
    package let tokenStride: Int
    package let headStride: Int

    package init(_ base: UnsafeMutablePointer<Float>, tokenStride: Int, headStride: Int) {
        unsafe self.base = base
        self.tokenStride = tokenStride
        self.headStride = headStride
    }
}

/// Queries that share their keys and values: `headCount` heads of each of `tokenCount` tokens that follow each other.
@safe package struct AttentionQueries {
    /// What the scores are multiplied by.
    package let scale: Float
    package let tokenCount: Int
    package let headCount: Int
    /// A query's parts, which go with the keys' parts: one or two.
    package let first: HeadRows
    package let second: HeadRows?
    /// [tokens, heads] each: the largest score so far and the sum of the exponentials: -∞ and 0 at first, or a score
    /// that has no value (an attention sink) and 1.
    package let maxima: UnsafeMutablePointer<Float>
    package let sums: UnsafeMutablePointer<Float>
    /// The values' weighted sums so far (0 at first), to be divided by `sums` in the end.
    package let attended: HeadRows

    package init(
        scale: Float, tokenCount: Int, headCount: Int, first: HeadRows, second: HeadRows? = nil,
        maxima: UnsafeMutablePointer<Float>, sums: UnsafeMutablePointer<Float>, attended: HeadRows
    ) {
        self.scale = scale
        self.tokenCount = tokenCount
        self.headCount = headCount
        self.first = first
        self.second = second
        unsafe self.maxima = maxima
        unsafe self.sums = sums
        self.attended = attended
    }
}

extension Kernels {
    /// Positions that share one step of the online softmax: where a range of positions begins must be a multiple.
    package static let attentionBlock = 64

    /// Columns that a key may have, each part's rounded up to a multiple of 32.
    package static let attentionKeyColumns = moed_key_columns

    /// Continues the queries' online softmax (arXiv 1805.02867) over some positions of keys and values.
    ///
    /// A query's result depends on its own positions and where they were cut, on no other query. Keys and values are
    /// read from memory once for all queries.
    ///
    /// - Parameters:
    ///   - secondKeys: what the queries' second part is multiplied by.
    ///   - positions: begin at a multiple of `attentionBlock`.
    ///   - visible: the first token sees positions below this; every further token sees one more. May be negative.
    ///   - window: how many of them each token sees, the last ones; nil: all.
    package func attend(
        _ queries: AttentionQueries, keys: CachedRows, secondKeys: CachedRows? = nil, values: CachedRows,
        positions: Range<Int>, visible: Int, window: Int? = nil
    ) {
        precondition((queries.second == nil) == (secondKeys == nil))
        let steps = (keys.width + 31) / 32 + ((secondKeys?.width ?? 0) + 31) / 32
        precondition(steps * 32 <= Self.attentionKeyColumns && positions.lowerBound % Self.attentionBlock == 0)
        let second = queries.second ?? queries.first
        var attention = unsafe moed_attention()
        unsafe attention.part_count = secondKeys == nil ? 1 : 2
        unsafe attention.keys = (keys.view, (secondKeys ?? keys).view)
        unsafe attention.queries = (UnsafePointer(queries.first.base), UnsafePointer(second.base))
        unsafe attention.query_token_stride = (Int64(queries.first.tokenStride), Int64(second.tokenStride))
        unsafe attention.query_head_stride = (Int64(queries.first.headStride), Int64(second.headStride))
        unsafe attention.values = values.view
        unsafe attention.query_count = Int64(queries.tokenCount * queries.headCount)
        unsafe attention.heads = Int64(queries.headCount)
        unsafe attention.positions = positions.view
        unsafe attention.first_visible = Int64(visible)
        unsafe attention.window = Int64(window ?? 0)
        unsafe attention.scale = queries.scale
        unsafe attention.maxima = queries.maxima
        unsafe attention.sums = queries.sums
        unsafe attention.attended = queries.attended.base
        unsafe attention.attended_token_stride = Int64(queries.attended.tokenStride)
        unsafe attention.attended_head_stride = Int64(queries.attended.headStride)
        unsafe table.pointee.attend(&attention)
    }
}

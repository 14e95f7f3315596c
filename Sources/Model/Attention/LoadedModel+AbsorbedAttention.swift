import Compute
import Container

/// One span of one row's past, to be attended to.
struct AbsorbedSpan {
    /// In the pass.
    let row: Int
    let spans: AttentionSpans
    let index: Int
}

/// Latent attention in the latents' space, token by token (DeepSeek-V2, §2.1.3):
/// score = (W_UKᵀ · q) · c + q_rope · k_rope, output = W_UV · Σ p · c.
///
/// The past is read once for all heads, and shared out by spans of positions so that all threads have a part of it,
/// whatever the number of sequences.
extension LoadedModel {
    func attendAbsorbed(
        _ keyValueUp: Matrix, layer: Int, _ pass: ForwardPass, _ cache: KeyValueCache,
        _ shape: ModelConfiguration.LatentAttention
    ) {
        var next = 0
        while next < pass.count {
            let first = next
            scratch.spans.removeAll(keepingCapacity: true)
            var positions = 0
            while next < pass.count {
                let spans = AttentionSpans(positionCount: pass.rows[next].position + 1)
                guard scratch.spans.count + spans.count <= AttentionSpans.limit else { break }
                for index in 0..<spans.count {
                    scratch.spans.append(AbsorbedSpan(row: next, spans: spans, index: index))
                }
                positions += pass.rows[next].position + 1
                next += 1
            }
            attendAbsorbed(
                keyValueUp, layer: layer, pass, cache, rows: first..<next, positions: positions, shape)
        }
    }

    /// Rows whose spans are in `scratch.spans`.
    private func attendAbsorbed(
        _ keyValueUp: Matrix, layer: Int, _ pass: ForwardPass, _ cache: KeyValueCache, rows: Range<Int>,
        positions: Int, _ shape: ModelConfiguration.LatentAttention
    ) {
        let spans = scratch.spans
        let headCount = shape.headCount
        let rank = shape.keyValueLatentRank
        let absorbing = rows.count * headCount * (shape.plainHeadSize + shape.valueHeadSize) * rank
        let attending = headCount * positions * (2 * rank + shape.ropeHeadSize)
        func heads(ofPart part: Int, size: Int) -> Range<Int> { part * size..<min((part + 1) * size, headCount) }
        func cached(_ row: Int) -> CachedLayer {
            unsafe CachedLayer(pass.rows[row].blocks, layer: layer, of: cache)
        }

        let small = 4
        let parts = (headCount + small - 1) / small
        if spans.count == rows.count {
            // One span a row: threads needn't meet between the steps.
            forEach(rows.count * parts, work: absorbing + attending) { item in
                let (slot, part) = item.quotientAndRemainder(dividingBy: parts)
                let some = heads(ofPart: part, size: small)
                absorb(keyValueUp, row: rows.lowerBound + slot, slot: slot, heads: some, shape)
                attend(cached(spans[slot].row), spans[slot], slot: slot, queries: slot, heads: some, shape)
                raise(keyValueUp, row: rows.lowerBound + slot, slots: slot..<slot + 1, heads: some, shape)
            }
            return
        }
        forEach(rows.count * parts, work: absorbing) { item in
            let (slot, part) = item.quotientAndRemainder(dividingBy: parts)
            absorb(
                keyValueUp, row: rows.lowerBound + slot, slot: slot, heads: heads(ofPart: part, size: small), shape)
        }
        // All heads together, unless there are too few spans for all threads.
        let size = spans.count < 2 * threadCount ? 16 : headCount
        let pieces = (headCount + size - 1) / size
        forEach(spans.count * pieces, work: attending) { item in
            let (slot, piece) = item.quotientAndRemainder(dividingBy: pieces)
            let span = spans[slot]
            attend(
                cached(span.row), span, slot: slot, queries: span.row - rows.lowerBound,
                heads: heads(ofPart: piece, size: size), shape)
        }
        forEach(rows.count * parts, work: absorbing) { item in
            let (place, part) = item.quotientAndRemainder(dividingBy: parts)
            let row = rows.lowerBound + place
            guard let first = spans.firstIndex(where: { $0.row == row }) else { return }
            raise(
                keyValueUp, row: row, slots: first..<first + spans[first].spans.count,
                heads: heads(ofPart: part, size: small), shape)
        }
    }

    /// absorbed[slot] = W_UKᵀ · q
    private func absorb(
        _ keyValueUp: Matrix, row: Int, slot: Int, heads: Range<Int>, _ shape: ModelConfiguration.LatentAttention
    ) {
        let rank = shape.keyValueLatentRank
        for head in heads {
            let index = row * shape.headCount + head
            let query = unsafe scratch.floats(.queries) + index * (shape.plainHeadSize + shape.ropeHeadSize)
            let absorbed = unsafe scratch.floats(.absorbed) + (slot * shape.headCount + head) * rank
            unsafe absorbed.update(repeating: 0, count: rank)
            let firstRow = head * (shape.plainHeadSize + shape.valueHeadSize)
            unsafe kernels.multiplyTransposed(
                keyValueUp, rows: firstRow..<firstRow + shape.plainHeadSize, query, into: absorbed)
        }
    }

    /// Some heads over one span of positions: its part of Σ p · c.
    private func attend(
        _ cached: CachedLayer, _ span: AbsorbedSpan, slot: Int, queries: Int, heads: Range<Int>,
        _ shape: ModelConfiguration.LatentAttention
    ) {
        let (plain, rope, rank) = (shape.plainHeadSize, shape.ropeHeadSize, shape.keyValueLatentRank)
        let result = spanResult(slot: slot, head: heads.lowerBound, shape)
        unsafe result.maximum.update(repeating: -.infinity, count: heads.count)
        unsafe result.sum.update(repeating: 0, count: heads.count)
        unsafe result.values.update(repeating: 0, count: heads.count * rank)
        let absorbed = unsafe scratch.floats(.absorbed) + (queries * shape.headCount + heads.lowerBound) * rank
        let query =
            unsafe scratch.floats(.queries) + (span.row * shape.headCount + heads.lowerBound) * (plain + rope) + plain
        let queries = unsafe AttentionQueries(
            scale: shape.softmaxScale, tokenCount: 1, headCount: heads.count,
            first: HeadRows(absorbed, tokenStride: 0, headStride: rank),
            second: HeadRows(query, tokenStride: 0, headStride: plain + rope), maxima: result.maximum,
            sums: result.sum, attended: HeadRows(result.values, tokenStride: 0, headStride: rank))
        let positions = span.spans.positions(of: span.index)
        for start in stride(from: positions.lowerBound, to: positions.upperBound, by: KeyValueCache.blockLength) {
            let block = start / KeyValueCache.blockLength
            let count = min(KeyValueCache.blockLength, positions.upperBound - start)
            let latents = cached.firstRows(block: block)
            kernels.attend(
                queries, keys: latents, secondKeys: cached.secondRows(block: block), values: latents,
                positions: count, visible: count)
        }
    }

    /// Joins a row's spans in their order: attended = W_UV · Σ p · c.
    private func raise(
        _ keyValueUp: Matrix, row: Int, slots: Range<Int>, heads: Range<Int>,
        _ shape: ModelConfiguration.LatentAttention
    ) {
        let (plain, value, rank) = (shape.plainHeadSize, shape.valueHeadSize, shape.keyValueLatentRank)
        for head in heads {
            let whole = spanResult(slot: slots.lowerBound, head: head, shape)
            for slot in slots.dropFirst() {
                whole.join(spanResult(slot: slot, head: head, shape), count: rank, kernels)
            }
            unsafe kernels.scale(whole.values, by: 1 / whole.sum.pointee, count: rank)
            let firstRow = head * (plain + value) + plain
            unsafe kernels.multiplyDequantized(
                keyValueUp, rows: firstRow..<firstRow + value, whole.values,
                into: scratch.floats(.attended) + (row * shape.headCount + head) * value)
        }
    }

    private func spanResult(slot: Int, head: Int, _ shape: ModelConfiguration.LatentAttention) -> SpanResult {
        let place = slot * shape.headCount + head
        return unsafe SpanResult(
            maximum: scratch.floats(.spanMaxima) + place, sum: scratch.floats(.spanSums) + place,
            values: scratch.floats(.spanValues) + place * shape.keyValueLatentRank)
    }
}

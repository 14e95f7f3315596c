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
                guard scratch.spans.count + spans.count <= AttentionSpans.together else { break }
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
        let spanCount = scratch.spans.count
        let headCount = shape.headCount
        let rank = shape.keyValueLatentRank
        let absorbing = rows.count * headCount * (shape.plainHeadSize + shape.valueHeadSize) * rank
        let attending = headCount * positions * (2 * rank + shape.ropeHeadSize)
        func heads(ofPart part: Int, size: Int) -> Range<Int> { part * size..<min((part + 1) * size, headCount) }
        func cached(_ row: Int) -> CachedLayer {
            unsafe CachedLayer(pass.rows[row].blocks, layer: layer, of: cache)
        }

        beginLatents(keyValueUp, count: headCount * min(rows.count, AttentionSizes.raisedTogether))
        // Parts of the heads, several for each thread.
        let small = max(1, headCount / (4 * threadCount))
        let parts = (headCount + small - 1) / small
        if spanCount == 1, positions <= KeyValueCache.blockLength {
            // Threads needn't meet between the steps.
            forEach(parts, work: absorbing + attending) { part in
                let some = heads(ofPart: part, size: small)
                absorb(keyValueUp, rows: rows, heads: some, shape)
                let span = scratch.spans[0]
                attend(cached(span.row), span, slot: 0, queries: 0, heads: some, shape)
                raise(keyValueUp, rows: rows, heads: some, shape)
            }
            return
        }
        forEach(parts, work: absorbing) { part in
            absorb(keyValueUp, rows: rows, heads: heads(ofPart: part, size: small), shape)
        }
        // All heads together, unless there are too few spans for all threads; keys are multiplied by eight at once.
        let size = spanCount < 2 * threadCount ? 8 : headCount
        let pieces = (headCount + size - 1) / size
        share(spanCount * pieces, work: attending) { items in
            for item in items {
                let (slot, piece) = item.quotientAndRemainder(dividingBy: pieces)
                let span = scratch.spans[slot]
                attend(
                    cached(span.row), span, slot: slot, queries: span.row - rows.lowerBound,
                    heads: heads(ofPart: piece, size: size), shape)
            }
        }
        forEach(parts, work: absorbing) { part in
            raise(keyValueUp, rows: rows, heads: heads(ofPart: part, size: small), shape)
        }
    }

    /// absorbed[row] = W_UKᵀ · q for all rows at once, so that a weight is expanded once.
    private func absorb(
        _ keyValueUp: Matrix, rows: Range<Int>, heads: Range<Int>, _ shape: ModelConfiguration.LatentAttention
    ) {
        let (rank, headSize) = (shape.keyValueLatentRank, shape.plainHeadSize + shape.ropeHeadSize)
        for head in heads {
            let queries = unsafe scratch.floats(.queries) + (rows.lowerBound * shape.headCount + head) * headSize
            let absorbed = unsafe scratch.floats(.absorbed) + head * rank
            for place in 0..<rows.count {
                unsafe (absorbed + place * shape.headCount * rank).update(repeating: 0, count: rank)
            }
            let firstRow = head * (shape.plainHeadSize + shape.valueHeadSize)
            unsafe kernels.multiplyTransposed(
                keyValueUp, rows: firstRow..<firstRow + shape.plainHeadSize, queries,
                xStride: shape.headCount * headSize, tokens: rows.count, into: absorbed,
                yStride: shape.headCount * rank)
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
        let latents = cached.firstRows()
        let positions = span.spans.positions(of: span.index)
        kernels.attend(
            queries, keys: latents, secondKeys: cached.secondRows(), values: latents, positions: positions,
            visible: positions.upperBound)
    }

    /// Joins each row's spans in their order: attended = W_UV · Σ p · c, for some rows at once.
    private func raise(
        _ keyValueUp: Matrix, rows: Range<Int>, heads: Range<Int>, _ shape: ModelConfiguration.LatentAttention
    ) {
        let (plain, value, rank) = (shape.plainHeadSize, shape.valueHeadSize, shape.keyValueLatentRank)
        let most = latents.tokenCount / (2 * shape.headCount)
        for head in heads {
            let firstRow = head * (plain + value) + plain
            let token = head * 2 * most
            let raised = unsafe scratch.floats(.expanded) + token * value
            var slot = 0
            for first in stride(from: rows.lowerBound, to: rows.upperBound, by: most) {
                let some = first..<min(first + most, rows.upperBound)
                for row in some {
                    let whole = spanResult(slot: slot, head: head, shape)
                    let count = scratch.spans[slot].spans.count
                    for later in 1..<count {
                        whole.join(spanResult(slot: slot + later, head: head, shape), count: rank, kernels)
                    }
                    slot += count
                    unsafe kernels.scale(whole.values, by: 1 / whole.sum.pointee, count: rank)
                    let place = token + row - first
                    unsafe latents.store(whole.values, token: place, remainder: place + some.count, kernels: kernels)
                }
                unsafe multiplyLatents(
                    keyValueUp, rows: firstRow..<firstRow + value, token: token, count: some.count, into: raised)
                for row in some {
                    unsafe (scratch.floats(.attended) + (row * shape.headCount + head) * value).update(
                        from: raised + (row - first) * value, count: value)
                }
            }
        }
    }

    private func spanResult(slot: Int, head: Int, _ shape: ModelConfiguration.LatentAttention) -> SpanResult {
        let place = slot * shape.headCount + head
        return unsafe SpanResult(
            maximum: scratch.floats(.spanMaxima) + place, sum: scratch.floats(.spanSums) + place,
            values: scratch.floats(.spanValues) + place * shape.keyValueLatentRank)
    }
}

import Compute
import Container

/// Attention whose heads share keys and values in groups (arXiv 2305.13245). The cache keeps a position's keys, after norm
/// and rotation, and its values. A layer with a window keeps all positions too, and looks at the last ones.
///
/// Prompts and single tokens go the same way, so that they give the same bits.
extension LoadedModel {
    /// Tokens whose attention one thread computes at a time.
    private static let tokensAtOnce = 64

    /// From `input`, the normed rows, into `attended`: [rows, heads, headSize].
    func attend(_ weights: ResidentTensors.GroupedAttention, layer: Int, _ pass: ForwardPass, _ cache: KeyValueCache) {
        let shape = weights.shape
        let count = pass.count
        let keyValueSize = shape.keyValueHeadCount * shape.headSize
        let keys = unsafe scratch.floats(.keyValue)
        let values = unsafe keys + count * keyValueSize
        unsafe multiply(weights.query, input, tokens: count, into: scratch.floats(.queries))
        unsafe multiply(weights.key, input, tokens: count, into: keys)
        unsafe multiply(weights.value, input, tokens: count, into: values)
        forEach(count, work: count * (shape.headCount + 2 * shape.keyValueHeadCount) * shape.headSize * 4) { row in
            let query = unsafe scratch.floats(.queries) + row * shape.headCount * shape.headSize
            let key = unsafe keys + row * keyValueSize
            let value = unsafe values + row * keyValueSize
            unsafe finish(query, heads: shape.headCount, bias: weights.queryBias, norm: weights.queryNorm, shape)
            unsafe finish(key, heads: shape.keyValueHeadCount, bias: weights.keyBias, norm: weights.keyNorm, shape)
            if let bias = unsafe weights.valueBias { unsafe kernels.add(bias, count: keyValueSize, into: value) }
            unsafe rotate(query, heads: shape.headCount, stride: shape.headSize, row: row, of: pass)
            unsafe rotate(key, heads: shape.keyValueHeadCount, stride: shape.headSize, row: row, of: pass)
            let cached = unsafe CachedLayer(pass.rows[row].blocks, layer: layer, of: cache)
            unsafe cached.store(key, value, at: pass.rows[row].position)
        }
        attendGroups(weights, layer: layer, pass, cache)
    }

    /// Adds the bias and norms the heads.
    private func finish(
        _ values: UnsafeMutablePointer<Float>, heads: Int, bias: UnsafePointer<Float>?, norm: UnsafePointer<Float>?,
        _ shape: ModelConfiguration.GroupedAttention
    ) {
        if let bias = unsafe bias { unsafe kernels.add(bias, count: heads * shape.headSize, into: values) }
        guard let norm = unsafe norm else { return }
        let size = shape.headNorm == .perHead ? shape.headSize : heads * shape.headSize
        for start in stride(from: 0, to: heads * shape.headSize, by: size) {
            unsafe kernels.rmsNorm(
                values + start, weight: norm, epsilon: configuration.normEpsilon, count: size, into: values + start)
        }
    }

    private func attendGroups(
        _ weights: ResidentTensors.GroupedAttention, layer: Int, _ pass: ForwardPass, _ cache: KeyValueCache
    ) {
        let shape = weights.shape
        let (count, heads) = (pass.count, shape.headCount)
        beginSums(weights, count: count)
        unsafe scratch.floats(.attended).update(repeating: 0, count: count * heads * shape.headSize)
        AttentionRun.cut(pass.rows, limit: Self.tokensAtOnce, into: &scratch.runs)
        let positions = scratch.runs.reduce(0) { $0 + $1.count * ($1.position + $1.count) }
        forEach(scratch.runs.count * shape.keyValueHeadCount, work: 2 * positions * heads * shape.headSize) { item in
            let (index, group) = item.quotientAndRemainder(dividingBy: shape.keyValueHeadCount)
            let run = scratch.runs[index]
            let cached = unsafe CachedLayer(pass.rows[run.firstRow].blocks, layer: layer, of: cache)
            // What lies before the first row's window lies before everybody's.
            let first = max(0, run.position + 1 - (weights.window ?? Int.max))
            for span in first / run.spans.length..<run.spans.count {
                attend(cached, run, span: span, group: group, rows: count, weights)
            }
        }
        finishHeads(count: count, heads: heads, groups: shape.keyValueHeadCount, size: shape.headSize)
    }

    /// Where the heads' online softmax begins: nothing yet, or a sink's score, whose exponential counts once.
    /// Both stand as [groups, rows, heads / groups].
    private func beginSums(_ weights: ResidentTensors.GroupedAttention, count: Int) {
        let shape = weights.shape
        let (maxima, sums) = unsafe (scratch.floats(.maxima), scratch.floats(.sums))
        unsafe sums.update(repeating: weights.sinks == nil ? 0 : 1, count: count * shape.headCount)
        guard let sinks = unsafe weights.sinks else {
            unsafe maxima.update(repeating: -.infinity, count: count * shape.headCount)
            return
        }
        let perGroup = shape.headCount / shape.keyValueHeadCount
        for group in 0..<shape.keyValueHeadCount {
            for row in 0..<count {
                unsafe (maxima + (group * count + row) * perGroup).update(
                    from: sinks + group * perGroup, count: perGroup)
            }
        }
    }

    /// The heads of a group in a run's rows over one span of positions, joined with the spans before.
    private func attend(
        _ cached: CachedLayer, _ run: AttentionRun, span: Int, group: Int, rows: Int,
        _ weights: ResidentTensors.GroupedAttention
    ) {
        let (shape, window) = (weights.shape, weights.window)
        let (size, heads) = (shape.headSize, shape.headCount / shape.keyValueHeadCount)
        let positions = run.spans.positions(of: span)
        // Rows before the span don't see it, nor do those whose window begins behind it.
        let skipped = max(0, positions.lowerBound - run.position)
        let row = run.firstRow + skipped
        let count = min(run.count, window.map { positions.upperBound + $0 - 1 - run.position } ?? run.count) - skipped
        guard count > 0 else { return }
        let place = (group * rows + row) * heads
        let vectors = (row * shape.headCount + group * heads) * size
        let rowStride = shape.headCount * size
        let whole = unsafe SpanResult(
            maximum: scratch.floats(.maxima) + place, sum: scratch.floats(.sums) + place,
            values: scratch.floats(.attended) + vectors)
        var result = whole
        if span > 0 {
            unsafe result = SpanResult(
                maximum: scratch.floats(.spanMaxima) + place, sum: scratch.floats(.spanSums) + place,
                values: scratch.floats(.spanValues) + vectors)
            unsafe result.maximum.update(repeating: -.infinity, count: count * heads)
            unsafe result.sum.update(repeating: 0, count: count * heads)
            for index in 0..<count {
                unsafe (result.values + index * rowStride).update(repeating: 0, count: heads * size)
            }
        }
        let queries = unsafe AttentionQueries(
            scale: shape.softmaxScale, tokenCount: count, headCount: heads,
            first: HeadRows(scratch.floats(.queries) + vectors, tokenStride: rowStride, headStride: size),
            maxima: result.maximum, sums: result.sum,
            attended: HeadRows(result.values, tokenStride: rowStride, headStride: size))
        let visible = run.position + skipped + 1
        let seen = max(positions.lowerBound, visible - (window ?? Int.max))
        let first = seen / KeyValueCache.blockLength * KeyValueCache.blockLength
        kernels.attend(
            queries, keys: cached.firstRows(head: group), values: cached.secondRows(head: group),
            positions: first..<positions.upperBound, visible: visible, window: window)
        guard span > 0 else { return }
        for index in 0..<count {
            for head in 0..<heads {
                whole.part(index * heads + head, values: index * rowStride + head * size).join(
                    result.part(index * heads + head, values: index * rowStride + head * size), count: size, kernels)
            }
        }
    }
}

extension SpanResult {
    /// Another head's or row's.
    fileprivate func part(_ place: Int, values offset: Int) -> SpanResult {
        unsafe SpanResult(maximum: maximum + place, sum: sum + place, values: values + offset)
    }
}

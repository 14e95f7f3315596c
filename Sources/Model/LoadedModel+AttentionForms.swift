import Compute
import Container

/// Both forms walk the past in blocks of positions that begin at multiples of `ScratchLayout.attentionBlock`, wherever
/// a chunk begins, and keep a running maximum and sum (online softmax, arXiv 1805.02867), so that a token's result
/// doesn't depend on its chunk.
extension LoadedModel {
    /// Attention in the latents' space, token by token (DeepSeek-V2, §2.1.3):
    /// score = (W_UKᵀ · q) · c + q_rope · k_rope, output = W_UV · Σ p · c.
    func attendAbsorbed(
        _ keyValueUp: Matrix, layer: Int, _ pass: ForwardPass, _ cache: KeyValueCache,
        _ shape: ModelConfiguration.LatentAttention
    ) {
        let rank = shape.keyValueLatentRank
        var work = pass.count * (shape.plainHeadSize + shape.valueHeadSize) * rank
        for row in pass.rows { work += (row.position + 1) * (2 * rank + shape.ropeHeadSize) }
        forEach(shape.headCount, work: shape.headCount * work) { head in
            for index in 0..<pass.count {
                let row = pass.rows[index]
                attendAbsorbed(
                    keyValueUp, unsafe CachedLayer(row.blocks, layer: layer, of: cache), row: index,
                    position: row.position, head: head, shape)
            }
        }
    }

    /// One head of one token.
    private func attendAbsorbed(
        _ keyValueUp: Matrix, _ cached: CachedLayer, row: Int, position: Int, head: Int,
        _ shape: ModelConfiguration.LatentAttention
    ) {
        let (plain, rope, value) = (shape.plainHeadSize, shape.ropeHeadSize, shape.valueHeadSize)
        let rank = shape.keyValueLatentRank
        let count = position + 1
        let block = ScratchLayout.attentionBlock
        let index = row * shape.headCount + head
        let query = unsafe scratch.floats(.queries) + index * (plain + rope)
        let absorbed = unsafe scratch.floats(.absorbed) + head * rank
        let sums = unsafe scratch.floats(.attendedLatents) + head * rank
        let weights = unsafe scratch.floats(.attentionWeights) + head * block
        unsafe absorbed.update(repeating: 0, count: rank)
        unsafe sums.update(repeating: 0, count: rank)
        let firstRow = head * (plain + value)
        unsafe kernels.multiplyTransposed(keyValueUp, rows: firstRow..<firstRow + plain, query, into: absorbed)

        var softmax = OnlineSoftmax()
        for start in stride(from: 0, to: count, by: block) {
            let latents = unsafe cached.latents(block: start / block)
            let ropedKeys = unsafe cached.ropedKeys(block: start / block)
            let places = 0..<min(block, count - start)
            for place in places {
                let score =
                    unsafe dot(absorbed, latents, at: place, size: rank, cached.format)
                    + dot(query + plain, ropedKeys, at: place, size: rope, cached.format)
                unsafe weights[place] = score * shape.softmaxScale
            }
            let rescaling = unsafe softmax.add(weights, count: places.count, kernels)
            if rescaling != 1 { unsafe kernels.scale(sums, by: rescaling, count: rank) }
            for place in places {
                unsafe accumulate(weights[place], latents, at: place, size: rank, cached.format, into: sums)
            }
        }
        unsafe kernels.scale(sums, by: 1 / softmax.sum, count: rank)
        unsafe kernels.multiplyDequantized(
            keyValueUp, rows: firstRow + plain..<firstRow + plain + value, sums,
            into: scratch.floats(.attended) + index * value)
    }

    /// Attention of a chunk's tokens over keys and values that are recomputed from the cached latents, block by block.
    func attendExpanded(
        _ keyValueUp: Matrix, _ cached: CachedLayer, _ chunk: Chunk, _ shape: ModelConfiguration.LatentAttention
    ) {
        let block = ScratchLayout.attentionBlock
        let width = shape.plainHeadSize + shape.valueHeadSize
        let rows = chunk.count * shape.headCount
        unsafe scratch.floats(.maxima).update(repeating: -.infinity, count: rows)
        unsafe scratch.floats(.sums).update(repeating: 0, count: rows)
        unsafe scratch.floats(.attended).update(repeating: 0, count: rows * shape.valueHeadSize)

        for start in stride(from: 0, to: chunk.position + chunk.count, by: block) {
            let positions = start..<min(start + block, chunk.position + chunk.count)
            unsafe read(
                cached.latents(block: start / block), count: positions.count * shape.keyValueLatentRank, cached.format,
                into: .blockLatents)
            unsafe read(
                cached.ropedKeys(block: start / block), count: positions.count * shape.ropeHeadSize, cached.format,
                into: .blockKeys)
            let work =
                shape.headCount * positions.count
                * (width * shape.keyValueLatentRank + chunk.count * (width + shape.ropeHeadSize))
            forEach(shape.headCount, work: work) { head in
                unsafe kernels.multiplyDequantized(
                    keyValueUp, rows: head * width..<(head + 1) * width, scratch.floats(.blockLatents),
                    xStride: shape.keyValueLatentRank, tokens: positions.count,
                    into: scratch.floats(.expanded) + head * block * width, yStride: width)
                for row in max(start - chunk.position, 0)..<chunk.count {
                    attendBlock(positions, row: row, head: head, chunk, shape)
                }
            }
        }

        forEach(rows, work: rows * shape.valueHeadSize) { row in
            unsafe kernels.scale(
                scratch.floats(.attended) + row * shape.valueHeadSize, by: 1 / scratch.floats(.sums)[row],
                count: shape.valueHeadSize)
        }
    }

    /// One head of one token over the positions of a block that it may see.
    private func attendBlock(
        _ positions: Range<Int>, row: Int, head: Int, _ chunk: Chunk, _ shape: ModelConfiguration.LatentAttention
    ) {
        let (plain, rope, value) = (shape.plainHeadSize, shape.ropeHeadSize, shape.valueHeadSize)
        let index = row * shape.headCount + head
        let count = min(positions.count, chunk.position + row + 1 - positions.lowerBound)
        let query = unsafe scratch.floats(.queries) + index * (plain + rope)
        let weights = unsafe scratch.floats(.attentionWeights) + head * ScratchLayout.attentionBlock
        let expanded =
            unsafe scratch.floats(.expanded) + head * ScratchLayout.attentionBlock * (plain + value)
        let ropedKeys = unsafe scratch.floats(.blockKeys)
        for key in 0..<count {
            let score =
                unsafe kernels.dot(query, expanded + key * (plain + value), count: plain)
                + kernels.dot(query + plain, ropedKeys + key * rope, count: rope)
            unsafe weights[key] = score * shape.softmaxScale
        }
        var softmax = unsafe OnlineSoftmax(
            maximum: scratch.floats(.maxima)[index], sum: scratch.floats(.sums)[index])
        let rescaling = unsafe softmax.add(weights, count: count, kernels)
        let attended = unsafe scratch.floats(.attended) + index * value
        if rescaling != 1 { unsafe kernels.scale(attended, by: rescaling, count: value) }
        for key in 0..<count {
            unsafe kernels.axpy(
                weights[key], expanded + key * (plain + value) + plain, count: value, into: attended)
        }
        unsafe scratch.floats(.maxima)[index] = softmax.maximum
        unsafe scratch.floats(.sums)[index] = softmax.sum
    }

    // MARK: Cached values

    private func dot(
        _ x: UnsafePointer<Float>, _ rows: UnsafeMutableRawPointer, at row: Int, size: Int, _ format: CacheFormat
    ) -> Float {
        switch format {
        case .f32: unsafe kernels.dot(x, rows.assumingMemoryBound(to: Float.self) + row * size, count: size)
        case .bf16: unsafe kernels.dot(x, bf16: rows.assumingMemoryBound(to: UInt16.self) + row * size, count: size)
        }
    }

    private func accumulate(
        _ factor: Float, _ rows: UnsafeMutableRawPointer, at row: Int, size: Int, _ format: CacheFormat,
        into sums: UnsafeMutablePointer<Float>
    ) {
        switch format {
        case .f32:
            unsafe kernels.axpy(factor, rows.assumingMemoryBound(to: Float.self) + row * size, count: size, into: sums)
        case .bf16:
            unsafe kernels.axpy(
                factor, bf16: rows.assumingMemoryBound(to: UInt16.self) + row * size, count: size, into: sums)
        }
    }

    /// A block's first cached values as f32.
    private func read(
        _ values: UnsafeMutableRawPointer, count: Int, _ format: CacheFormat, into buffer: ScratchLayout.Buffer
    ) {
        switch format {
        case .f32:
            unsafe scratch.floats(buffer).update(from: values.assumingMemoryBound(to: Float.self), count: count)
        case .bf16:
            unsafe Kernels.convert(
                bf16: values.assumingMemoryBound(to: UInt16.self), count: count, into: scratch.floats(buffer))
        }
    }
}

/// The softmax of scores that come in blocks.
private struct OnlineSoftmax {
    var maximum = -Float.infinity
    var sum: Float = 0

    /// Turns a block's scores into exp(score − maximum) in place and returns by what earlier results are multiplied.
    mutating func add(_ scores: UnsafeMutablePointer<Float>, count: Int, _ kernels: Kernels) -> Float {
        let larger = unsafe max(maximum, kernels.maximum(scores, count: count))
        for index in 0..<count { unsafe scores[index] -= larger }
        unsafe kernels.exponentials(scores, count: count, into: scores)
        var rescaling: Float = 1
        if larger != maximum {
            unsafe withUnsafePointer(to: maximum - larger) {
                unsafe kernels.exponentials($0, count: 1, into: &rescaling)
            }
        }
        maximum = larger
        sum = unsafe sum * rescaling + kernels.sum(scores, count: count)
        return rescaling
    }
}

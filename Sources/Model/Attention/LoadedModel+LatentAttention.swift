import Compute
import Container

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, §2.1). The cache keeps a position's latent after its norm
/// and its rotary key after the rotation.
extension LoadedModel {
    /// From `input`, the normed rows, into `attended`: [rows, heads, value].
    func attend(_ weights: ResidentTensors.LatentAttention, layer: Int, _ pass: ForwardPass, _ cache: KeyValueCache) {
        let shape = weights.shape
        let count = pass.count
        unsafe multiply(weights.keyValueDown, input, tokens: count, into: scratch.floats(.keyValue))
        projectQueries(weights.query, layer: layer, count: count, shape)
        unsafe rotateAndStore(weights.keyValueLatentNorm, layer: layer, pass, cache, shape)
        let rank = shape.keyValueLatentRank
        unsafe showInputs(
            scratch.floats(.keyValue), count: count, columns: rank, stride: rank + shape.ropeHeadSize,
            of: .keyValueLatent(layer: layer))
        switch pass.form {
        case .absorbed: attendAbsorbed(weights.keyValueUp, layer: layer, pass, cache, shape)
        case .expanded: attendExpanded(weights.keyValueUp, layer: layer, pass, cache, shape)
        }
    }

    /// queries: [rows, heads, plain + rope], before the rotation. `input` holds the normed rows.
    private func projectQueries(
        _ query: ResidentTensors.Query, layer: Int, count: Int, _ shape: ModelConfiguration.LatentAttention
    ) {
        let queries = unsafe scratch.floats(.queries)
        switch query {
        case .direct(let matrix):
            unsafe multiply(matrix, input, tokens: count, into: queries)
        case .latent(let down, let norm, let up):
            let rank = down.shape.rows
            let latent = unsafe scratch.floats(.queryLatent)
            unsafe multiply(down, input, tokens: count, into: latent)
            forEach(count, work: count * rank) { row in
                let values = unsafe latent + row * rank
                unsafe kernels.rmsNorm(
                    values, weight: norm, epsilon: shape.latentNormEpsilon, count: rank, into: values)
            }
            unsafe showInputs(latent, count: count, columns: rank, of: .queryLatent(layer: layer))
            unsafe load(input, latent, tokens: count, columns: rank)
            unsafe multiply(up, input, tokens: count, into: queries)
        }
    }

    /// Rotates the queries' rotary parts; norms the latents, rotates the rotary keys and stores both in the cache.
    private func rotateAndStore(
        _ norm: UnsafePointer<Float>, layer: Int, _ pass: ForwardPass, _ cache: KeyValueCache,
        _ shape: ModelConfiguration.LatentAttention
    ) {
        let (rank, rope, heads) = (shape.keyValueLatentRank, shape.ropeHeadSize, shape.headCount)
        let headSize = shape.plainHeadSize + rope
        forEach(pass.count, work: pass.count * (heads * rope * 2 + rank)) { row in
            let queries = unsafe scratch.floats(.queries) + row * heads * headSize + shape.plainHeadSize
            unsafe rotate(queries, heads: heads, stride: headSize, row: row, of: pass)
            let latent = unsafe scratch.floats(.keyValue) + row * (rank + rope)
            unsafe kernels.rmsNorm(latent, weight: norm, epsilon: shape.latentNormEpsilon, count: rank, into: latent)
            unsafe rotate(latent + rank, heads: 1, stride: rope, row: row, of: pass)
            let cached = unsafe CachedLayer(pass.rows[row].blocks, layer: layer, of: cache)
            unsafe cached.store(latent, latent + rank, at: pass.rows[row].position)
        }
    }

    /// Makes room in `latents` for inputs of the matrix and their remainders.
    func beginLatents(_ matrix: Matrix, count: Int) {
        begin(
            latents, tokens: 2 * count, columns: matrix.shape.columns, floats: !matrix.shape.format.isQuantized)
    }

    /// Products of latents from `token` on, behind which their remainders stand: [count, rows], in front of as much space
    /// again.
    func multiplyLatents(
        _ matrix: Matrix, rows: Range<Int>, token: Int, count: Int, into output: UnsafeMutablePointer<Float>
    ) {
        unsafe kernels.multiply(
            matrix, rows: rows, latents, tokens: token..<token + 2 * count, into: output, yStride: rows.count)
        unsafe kernels.add(output + count * rows.count, count: count * rows.count, into: output)
    }

    // MARK: Expanded

    /// Attention of neighbouring rows of one sequence over keys and values that are recomputed from the cached latents,
    /// block by block.
    private func attendExpanded(
        _ keyValueUp: Matrix, layer: Int, _ pass: ForwardPass, _ cache: KeyValueCache,
        _ shape: ModelConfiguration.LatentAttention
    ) {
        let cached = unsafe CachedLayer(pass.rows[0].blocks, layer: layer, of: cache)
        let (position, count, heads) = (pass.rows[0].position, pass.count, shape.headCount)
        let (block, value) = (KeyValueCache.blockLength, shape.valueHeadSize)
        unsafe scratch.floats(.maxima).update(repeating: -.infinity, count: count * heads)
        unsafe scratch.floats(.sums).update(repeating: 0, count: count * heads)
        unsafe scratch.floats(.attended).update(repeating: 0, count: count * heads * value)

        for start in stride(from: 0, to: position + count, by: block) {
            let positions = min(block, position + count - start)
            unsafe cached.readFirst(block: start / block, count: positions, into: scratch.floats(.blockLatents))
            beginLatents(keyValueUp, count: positions)
            for place in 0..<positions {
                unsafe latents.store(
                    scratch.floats(.blockLatents) + place * shape.keyValueLatentRank, token: place,
                    remainder: positions + place, kernels: kernels)
            }
            let ropedKeys = cached.secondRows().block(start / block)
            let width = shape.plainHeadSize + value
            let work =
                heads * positions * (width * shape.keyValueLatentRank + count * (width + shape.ropeHeadSize))
            forEach(heads, work: work) { head in
                attendBlock(
                    keyValueUp, ropedKeys, head: head, count: count, positions: positions,
                    visible: position + 1 - start, shape)
            }
        }
        finishHeads(count: count, heads: heads, groups: heads, size: value)
    }

    /// One head of all rows over a block.
    private func attendBlock(
        _ keyValueUp: Matrix, _ ropedKeys: CachedRows, head: Int, count: Int, positions: Int, visible: Int,
        _ shape: ModelConfiguration.LatentAttention
    ) {
        let (plain, value, heads) = (shape.plainHeadSize, shape.valueHeadSize, shape.headCount)
        let (width, headSize) = (plain + value, plain + shape.ropeHeadSize)
        let expanded = unsafe scratch.floats(.expanded) + head * 2 * KeyValueCache.blockLength * width
        unsafe multiplyLatents(
            keyValueUp, rows: head * width..<(head + 1) * width, token: 0, count: positions, into: expanded)
        let query = unsafe scratch.floats(.queries) + head * headSize
        let queries = unsafe AttentionQueries(
            scale: shape.softmaxScale, tokenCount: count, headCount: 1,
            first: HeadRows(query, tokenStride: heads * headSize, headStride: 0),
            second: HeadRows(query + plain, tokenStride: heads * headSize, headStride: 0),
            maxima: scratch.floats(.maxima) + head * count, sums: scratch.floats(.sums) + head * count,
            attended: HeadRows(scratch.floats(.attended) + head * value, tokenStride: heads * value, headStride: 0))
        unsafe kernels.attend(
            queries, keys: CachedRows(expanded, format: .f32, stride: width, width: plain), secondKeys: ropedKeys,
            values: CachedRows(expanded + plain, format: .f32, stride: width, width: value), positions: 0..<positions,
            visible: visible)
    }

    /// attended /= sums. Maxima and sums stand by groups of heads: [groups, rows, heads / groups].
    func finishHeads(count: Int, heads: Int, groups: Int, size: Int) {
        let perGroup = heads / groups
        forEach(count, work: count * heads * size) { row in
            for head in 0..<heads {
                let place = (head / perGroup * count + row) * perGroup + head % perGroup
                unsafe kernels.scale(
                    scratch.floats(.attended) + (row * heads + head) * size, by: 1 / scratch.floats(.sums)[place],
                    count: size)
            }
        }
    }
}

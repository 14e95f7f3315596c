import Compute
import Container

extension LoadedModel {
    /// hidden += output · attention(norm(hidden)), and the rows' positions enter the cache.
    func addAttention(
        _ weights: ResidentTensors.Attention, layer: Int, _ pass: ForwardPass, _ cache: KeyValueCache
    ) {
        let shape = configuration.attention.latent
        let size = configuration.hiddenSize
        let count = pass.count
        unsafe norm(weights.norm, pass, rows: 0..<count)
        unsafe showInputs(scratch.floats(.normed), count: count, columns: size, of: .attention(layer: layer))
        unsafe load(scratch.input, scratch.floats(.normed), tokens: count, columns: size)
        unsafe multiply(weights.keyValueDown, scratch.input, tokens: count, into: scratch.floats(.keyValue))
        projectQueries(weights.query, layer: layer, count: count, shape)
        unsafe rotateAndStore(weights.keyValueLatentNorm, layer: layer, pass, cache, shape)
        let rank = shape.keyValueLatentRank
        unsafe showInputs(
            scratch.floats(.keyValue), count: count, columns: rank, stride: rank + shape.ropeHeadSize,
            of: .keyValueLatent(layer: layer))

        switch pass.form {
        case .absorbed:
            attendAbsorbed(weights.keyValueUp, layer: layer, pass, cache, shape)
        case .expanded:
            let first = pass.rows[0]
            attendExpanded(
                weights.keyValueUp, unsafe CachedLayer(first.blocks, layer: layer, of: cache),
                Chunk(position: first.position, count: count), shape)
        }

        let width = shape.headCount * shape.valueHeadSize
        unsafe showInputs(scratch.floats(.attended), count: count, columns: width, of: .attended(layer: layer))
        unsafe load(scratch.input, scratch.floats(.attended), tokens: count, columns: width)
        unsafe multiply(weights.output, scratch.input, tokens: count, into: scratch.floats(.delta))
        addToHidden(.delta, pass)
    }

    /// queries: [rows, heads, plain + rope], before the rotation. `scratch.input` holds the normed rows.
    private func projectQueries(
        _ query: ResidentTensors.Query, layer: Int, count: Int, _ shape: ModelConfiguration.LatentAttention
    ) {
        let queries = unsafe scratch.floats(.queries)
        switch query {
        case .direct(let matrix):
            unsafe multiply(matrix, scratch.input, tokens: count, into: queries)
        case .latent(let down, let norm, let up):
            let rank = down.shape.rows
            let latent = unsafe scratch.floats(.queryLatent)
            unsafe multiply(down, scratch.input, tokens: count, into: latent)
            forEach(count, work: count * rank) { row in
                let values = unsafe latent + row * rank
                unsafe kernels.rmsNorm(
                    values, weight: norm, epsilon: shape.latentNormEpsilon, count: rank, into: values)
            }
            unsafe showInputs(latent, count: count, columns: rank, of: .queryLatent(layer: layer))
            unsafe load(scratch.input, latent, tokens: count, columns: rank)
            unsafe multiply(up, scratch.input, tokens: count, into: queries)
        }
    }

    /// Rotates the queries' rotary parts; norms the latents, rotates the rotary keys and stores both in the cache.
    private func rotateAndStore(
        _ norm: UnsafePointer<Float>, layer: Int, _ pass: ForwardPass, _ cache: KeyValueCache,
        _ shape: ModelConfiguration.LatentAttention
    ) {
        let (rank, rope, heads) = (shape.keyValueLatentRank, shape.ropeHeadSize, shape.headCount)
        let headSize = shape.plainHeadSize + rope
        let pairs = rope / 2
        forEach(pass.count, work: pass.count * (heads * rope * 2 + rank)) { row in
            let cosines = unsafe Span(_unsafeStart: pass.cosines + row * pairs, count: pairs)
            let sines = unsafe Span(_unsafeStart: pass.sines + row * pairs, count: pairs)
            for head in 0..<heads {
                let start = (row * heads + head) * headSize + shape.plainHeadSize
                var part = unsafe MutableSpan(_unsafeStart: scratch.floats(.queries) + start, count: rope)
                rotary.rotate(&part, cosines: cosines, sines: sines)
            }
            let latent = unsafe scratch.floats(.keyValue) + row * (rank + rope)
            unsafe kernels.rmsNorm(latent, weight: norm, epsilon: shape.latentNormEpsilon, count: rank, into: latent)
            var key = unsafe MutableSpan(_unsafeStart: latent + rank, count: rope)
            rotary.rotate(&key, cosines: cosines, sines: sines)

            let cached = unsafe CachedLayer(pass.rows[row].blocks, layer: layer, of: cache)
            let (block, place) = pass.rows[row].position.quotientAndRemainder(
                dividingBy: KeyValueCache.blockLength)
            unsafe store(latent, count: rank, at: place * rank, in: cached.latents(block: block), cached.format)
            unsafe store(
                latent + rank, count: rope, at: place * rope, in: cached.ropedKeys(block: block), cached.format)
        }
    }

    private func store(
        _ values: UnsafePointer<Float>, count: Int, at offset: Int, in memory: UnsafeMutableRawPointer,
        _ format: CacheFormat
    ) {
        switch format {
        case .f32:
            unsafe (memory.assumingMemoryBound(to: Float.self) + offset).update(from: values, count: count)
        case .bf16:
            unsafe Kernels.convert(
                values, count: count, intoBF16: memory.assumingMemoryBound(to: UInt16.self) + offset)
        }
    }

    /// hidden += a buffer of the same shape.
    func addToHidden(_ buffer: ScratchLayout.Buffer, _ pass: ForwardPass) {
        let size = configuration.hiddenSize
        let (hidden, values) = unsafe (pass.hidden, scratch.floats(buffer))
        forEach(pass.count, work: pass.count * size) { row in
            unsafe kernels.add(values + row * size, count: size, into: hidden + row * size)
        }
    }
}

/// The positions of one sequence that a pass computes: `position ..< position + count`.
struct Chunk {
    let position: Int
    let count: Int
}

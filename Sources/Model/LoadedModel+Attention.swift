import Compute
import Container

extension LoadedModel {
    /// Cosines and sines of the chunk's positions, the same for every layer and head.
    func fillRotation(position: Int, count: Int) {
        let pairs = rotary.frequencies.count
        for row in 0..<count {
            var cosines = unsafe MutableSpan(_unsafeStart: scratch.floats(.cosines) + row * pairs, count: pairs)
            var sines = unsafe MutableSpan(_unsafeStart: scratch.floats(.sines) + row * pairs, count: pairs)
            rotary.fill(position: position + row, cosines: &cosines, sines: &sines)
        }
    }

    /// hidden += output · attention(norm(hidden)), and the chunk's positions enter the cache.
    func addAttention(
        _ weights: ResidentTensors.Attention, layer: Int, _ chunk: Chunk, _ state: DecodingState, _ form: AttentionForm
    ) {
        let shape = configuration.attention.latent
        let size = configuration.hiddenSize
        unsafe norm(weights.norm, tokens: 0..<chunk.count)
        unsafe showInputs(scratch.floats(.normed), count: chunk.count, columns: size, of: .attention(layer: layer))
        unsafe load(scratch.input, scratch.floats(.normed), tokens: chunk.count, columns: size)
        unsafe multiply(
            weights.keyValueDown, scratch.input, tokens: chunk.count, into: scratch.floats(.keyValue))
        projectQueries(weights.query, layer: layer, chunk, shape)
        unsafe rotateAndStore(weights.keyValueLatentNorm, layer: layer, chunk, state, shape)
        let rank = shape.keyValueLatentRank
        unsafe showInputs(
            scratch.floats(.keyValue), count: chunk.count, columns: rank, stride: rank + shape.ropeHeadSize,
            of: .keyValueLatent(layer: layer))

        let cached = unsafe CachedLayer(
            latents: state.latents(layer: layer), ropedKeys: state.ropedKeys(layer: layer), format: state.format)
        switch form {
        case .absorbed: attendAbsorbed(weights.keyValueUp, cached, chunk, shape)
        case .expanded: attendExpanded(weights.keyValueUp, cached, chunk, shape)
        }

        let width = shape.headCount * shape.valueHeadSize
        unsafe showInputs(scratch.floats(.attended), count: chunk.count, columns: width, of: .attended(layer: layer))
        unsafe load(scratch.input, scratch.floats(.attended), tokens: chunk.count, columns: width)
        unsafe multiply(weights.output, scratch.input, tokens: chunk.count, into: scratch.floats(.delta))
        addToHidden(.delta, tokens: chunk.count)
    }

    /// queries: [tokens, heads, plain + rope], before the rotation. `scratch.input` holds the normed rows.
    private func projectQueries(
        _ query: ResidentTensors.Query, layer: Int, _ chunk: Chunk, _ shape: ModelConfiguration.LatentAttention
    ) {
        let queries = unsafe scratch.floats(.queries)
        switch query {
        case .direct(let matrix):
            unsafe multiply(matrix, scratch.input, tokens: chunk.count, into: queries)
        case .latent(let down, let norm, let up):
            let rank = down.shape.rows
            let latent = unsafe scratch.floats(.queryLatent)
            unsafe multiply(down, scratch.input, tokens: chunk.count, into: latent)
            forEach(chunk.count, work: chunk.count * rank) { row in
                let values = unsafe latent + row * rank
                unsafe kernels.rmsNorm(
                    values, weight: norm, epsilon: shape.latentNormEpsilon, count: rank, into: values)
            }
            unsafe showInputs(latent, count: chunk.count, columns: rank, of: .queryLatent(layer: layer))
            unsafe load(scratch.input, latent, tokens: chunk.count, columns: rank)
            unsafe multiply(up, scratch.input, tokens: chunk.count, into: queries)
        }
    }

    /// Rotates the queries' rotary parts; norms the latents, rotates the rotary keys and stores both in the cache.
    private func rotateAndStore(
        _ norm: UnsafePointer<Float>, layer: Int, _ chunk: Chunk, _ state: DecodingState,
        _ shape: ModelConfiguration.LatentAttention
    ) {
        let (rank, rope, heads) = (shape.keyValueLatentRank, shape.ropeHeadSize, shape.headCount)
        let headSize = shape.plainHeadSize + rope
        let pairs = rope / 2
        let latents = unsafe state.latents(layer: layer)
        let ropedKeys = unsafe state.ropedKeys(layer: layer)
        forEach(chunk.count, work: chunk.count * (heads * rope * 2 + rank)) { row in
            let cosines = unsafe Span(_unsafeStart: scratch.floats(.cosines) + row * pairs, count: pairs)
            let sines = unsafe Span(_unsafeStart: scratch.floats(.sines) + row * pairs, count: pairs)
            for head in 0..<heads {
                let start = (row * heads + head) * headSize + shape.plainHeadSize
                var part = unsafe MutableSpan(_unsafeStart: scratch.floats(.queries) + start, count: rope)
                rotary.rotate(&part, cosines: cosines, sines: sines)
            }
            let latent = unsafe scratch.floats(.keyValue) + row * (rank + rope)
            unsafe kernels.rmsNorm(latent, weight: norm, epsilon: shape.latentNormEpsilon, count: rank, into: latent)
            var key = unsafe MutableSpan(_unsafeStart: latent + rank, count: rope)
            rotary.rotate(&key, cosines: cosines, sines: sines)

            let position = chunk.position + row
            unsafe store(latent, count: rank, at: position * rank, in: latents, state.format)
            unsafe store(latent + rank, count: rope, at: position * rope, in: ropedKeys, state.format)
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
    func addToHidden(_ buffer: ScratchLayout.Buffer, tokens: Int) {
        let size = configuration.hiddenSize
        let (hidden, values) = unsafe (scratch.floats(.hidden), scratch.floats(buffer))
        forEach(tokens, work: tokens * size) { row in
            unsafe kernels.add(values + row * size, count: size, into: hidden + row * size)
        }
    }
}

/// One layer's part of a state.
@safe struct CachedLayer {
    /// [capacity, keyValueLatentRank]
    let latents: UnsafeMutableRawPointer
    /// [capacity, rope]
    let ropedKeys: UnsafeMutableRawPointer
    let format: CacheFormat
}

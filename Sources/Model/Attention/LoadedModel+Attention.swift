import Compute
import Container

extension LoadedModel {
    /// hidden += output · attention(norm(hidden)), and the rows' positions enter the cache.
    func addAttention(
        _ weights: ResidentTensors.Attention, layer: Int, _ pass: ForwardPass, _ cache: KeyValueCache
    ) {
        let size = configuration.hiddenSize
        let count = pass.count
        unsafe norm(weights.norm, pass, rows: 0..<count)
        unsafe showInputs(scratch.floats(.normed), count: count, columns: size, of: .attention(layer: layer))
        unsafe load(input, scratch.floats(.normed), tokens: count, columns: size)
        switch weights.kind {
        case .latent(let latent): attend(latent, layer: layer, pass, cache)
        case .grouped(let grouped): attend(grouped, layer: layer, pass, cache)
        case .relative: preconditionFailure("no step of a decoder alone begins with an encoder-decoder")
        }
        let width = weights.output.shape.columns
        unsafe showInputs(scratch.floats(.attended), count: count, columns: width, of: .attended(layer: layer))
        unsafe load(input, scratch.floats(.attended), tokens: count, columns: width)
        unsafe multiply(weights.output, input, tokens: count, into: scratch.floats(.delta))
        if let bias = unsafe weights.outputBias {
            for row in 0..<count { unsafe kernels.add(bias, count: size, into: scratch.floats(.delta) + row * size) }
        }
        addToHidden(.delta, pass)
    }

    /// Turns the beginnings of heads that stand `stride` apart by a row's angle.
    func rotate(
        _ values: UnsafeMutablePointer<Float>, heads: Int, stride: Int, row: Int, of pass: ForwardPass
    ) {
        let pairs = rotary.frequencies.count
        let cosines = unsafe Span(_unsafeStart: pass.cosines + row * pairs, count: pairs)
        let sines = unsafe Span(_unsafeStart: pass.sines + row * pairs, count: pairs)
        for head in 0..<heads {
            var part = unsafe MutableSpan(_unsafeStart: values + head * stride, count: 2 * pairs)
            rotary.rotate(&part, cosines: cosines, sines: sines)
        }
    }

    /// hidden += a buffer of the same shape.
    package func addToHidden(_ buffer: ScratchLayout.Buffer, _ pass: ForwardPass) {
        let size = configuration.hiddenSize
        let (hidden, values) = unsafe (pass.hidden, scratch.floats(buffer))
        forEach(pass.count, work: pass.count * size) { row in
            unsafe kernels.add(values + row * size, count: size, into: hidden + row * size)
        }
    }
}

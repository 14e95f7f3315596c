import Compute
import Container
import ExpertPaging
package import Model

extension EncoderDecoderModel {
    package func beginPrefill(_ tokens: ArraySlice<Int32>, state: DecodingState) throws(ModelError) -> Prefill {
        precondition(state.tokenCount == 0, "an input is taken in whole")
        guard tokens.count <= contextLength else {
            throw ModelError(
                .contextExceeded, "\(tokens.count) tokens pass the context of \(contextLength) tokens")
        }
        try model.check(tokens, state)
        return Prefill(state: state, tokens: tokens)
    }

    /// What has stepped aside begins anew with its first layer.
    package func advance(_ prefill: inout Prefill, stepsAside: Bool, cancelled: () -> Bool) throws(ModelError) {
        try advance(
            &prefill, startingWith: Int32(truncatingIfNeeded: encoder.startToken), stepsAside: stepsAside,
            cancelled: cancelled)
    }

    /// Computes one layer of the encoder, or what a layer of the decoder needs of what the encoder made. With the last of
    /// these the decoder takes its first token.
    func advance(
        _ prefill: inout Prefill, startingWith token: Int32, stepsAside: Bool = false, cancelled: () -> Bool
    ) throws(ModelError) {
        model.takeChunk(of: &prefill)
        model.beginStep(nil)
        defer { model.endStep() }
        do {
            try computeLayer(&prefill, startingWith: token, stepsAside: stepsAside, cancelled: cancelled)
        } catch {
            if error.slowExpert == nil {
                prefill.state.reset()
            } else {
                // It keeps its room.
                prefill.state.beginAnew()
                prefill.layer = 0
                prefill.processedCount = 0
            }
            throw error
        }
    }

    private func computeLayer(
        _ prefill: inout Prefill, startingWith token: Int32, stepsAside: Bool, cancelled: () -> Bool
    ) throws(ModelError) {
        let (state, count, layer) = (prefill.state, prefill.tokens.count, prefill.layer)
        guard !cancelled() else {
            experts.endChunk()
            throw .cancelled
        }
        if layer == 0 { embed(prefill.tokens) }
        if configuration.isEncoding(layer) {
            try encode(layer: layer, count: count, state, stepsAside: stepsAside, cancelled: cancelled)
        } else {
            remember(layer: layer, count: count, state)
        }
        if layer + 1 < configuration.layerCount {
            prefill.layer += 1
            prefill.processedCount = count * prefill.layer / configuration.layerCount
        } else {
            try begin(state, count: count, with: token, stepsAside: stepsAside, cancelled: cancelled)
            prefill.processedCount = count
        }
    }

    /// Calls `body` with the ranges of an input's tokens that are computed together.
    private func forEachChunk<Failure: Error>(
        _ count: Int, _ body: (Range<Int>) throws(Failure) -> Void
    ) throws(Failure) {
        for start in stride(from: 0, to: count, by: plan.chunk) { try body(start..<min(start + plan.chunk, count)) }
    }

    private func embed(_ tokens: ArraySlice<Int32>) {
        for (row, token) in tokens.enumerated() {
            unsafe model.kernels.dequantizeRow(
                tensors.embedding, row: Int(token), into: input.states + row * hiddenSize)
        }
    }

    /// Puts some of the input's tokens into the pass.
    private func begin(_ rows: Range<Int>, _ state: DecodingState, stepsAside: Bool) -> ForwardPass {
        let pass = model.scratch.chunk
        pass.begin(sequences: 1, form: .expanded, stepsAside: stepsAside)
        for row in rows { pass.append(position: row, sequence: 0, state: state, rotary: model.rotary) }
        unsafe pass.hidden.update(from: input.states + rows.lowerBound * hiddenSize, count: rows.count * hiddenSize)
        return pass
    }

    /// One layer of the encoder over the whole input. Every token attends to all, so all keys and values come first.
    private func encode(
        layer: Int, count: Int, _ state: DecodingState, stepsAside: Bool, cancelled: () -> Bool
    ) throws(ModelError) {
        let weights = model.weights.layers[layer]
        guard let projections = weights.attention.relative else { return }
        let isLast = layer == encoder.layerCount - 1
        var goesOn = false
        defer { if isLast || !goesOn { experts.endChunk() } }
        let scratch = model.scratch
        try forEachChunk(count) { rows throws(ModelError) in
            let pass = begin(rows, state, stepsAside: stepsAside)
            unsafe loadNormed(weights.attention.norm, pass)
            unsafe model.multiply(
                projections.key, model.input, tokens: rows.count, into: input.keys + rows.lowerBound * size)
            unsafe model.multiply(
                projections.value, model.input, tokens: rows.count, into: input.values + rows.lowerBound * size)
        }
        try forEachChunk(count) { rows throws(ModelError) in
            let pass = begin(rows, state, stepsAside: stepsAside)
            unsafe loadNormed(weights.attention.norm, pass)
            unsafe model.multiply(
                projections.query, model.input, tokens: rows.count, into: scratch.floats(.queries))
            attend(rows, count: count)
            addAttended(weights.attention.output, pass)
            model.addFeedForward(weights, index: layer, pass) { _ in cancelled() }
            if let failure = pass.failures[0] { throw failure }
            if isLast {
                unsafe model.norm(tensors.norm, pass, rows: 0..<rows.count)
                unsafe pass.hidden.update(from: scratch.floats(.normed), count: rows.count * hiddenSize)
            }
            unsafe (input.states + rows.lowerBound * hiddenSize).update(
                from: pass.hidden, count: rows.count * hiddenSize)
        }
        state.expertUses?.keep()
        goesOn = true
    }

    /// `queries` of some of the input's tokens to the whole of it, into `attended`.
    private func attend(_ rows: Range<Int>, count: Int) {
        let (queries, attended) = unsafe (model.scratch.floats(.queries), model.scratch.floats(.attended))
        let source = unsafe AttendedRows.memory(
            keys: UnsafePointer(input.keys), values: UnsafePointer(input.values), size: size)
        model.forEach(rows.count * shape.headCount, work: 2 * rows.count * count * size) { item in
            let (row, head) = item.quotientAndRemainder(dividingBy: shape.headCount)
            let place = row * size + head * shape.headSize
            unsafe attend(
                queries + place, at: rows.lowerBound + row, head: head, to: source, positions: 0..<count,
                bias: encoderBias, into: attended + place)
        }
    }

    /// The keys and values of the input that a layer of the decoder attends to enter the state.
    private func remember(layer: Int, count: Int, _ state: DecodingState) {
        guard let projections = model.weights.layers[layer].cross?.projections else { return }
        let scratch = model.scratch
        let cached = unsafe CachedLayer(
            UnsafePointer(state.addresses), layer: layer - firstDecoderLayer, of: state.cache)
        forEachChunk(count) { rows in
            let (keys, values) = unsafe (scratch.floats(.keyValue), scratch.floats(.keyValue) + rows.count * size)
            unsafe model.load(
                model.input, input.states + rows.lowerBound * hiddenSize, tokens: rows.count, columns: hiddenSize)
            unsafe model.multiply(projections.key, model.input, tokens: rows.count, into: keys)
            unsafe model.multiply(projections.value, model.input, tokens: rows.count, into: values)
            for (index, row) in rows.enumerated() {
                unsafe cached.store(keys + index * size, values + index * size, at: row)
            }
        }
    }
}

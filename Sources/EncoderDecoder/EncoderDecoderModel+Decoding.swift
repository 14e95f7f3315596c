import Compute
import Container
import ExpertPaging
package import Model

extension EncoderDecoderModel {
    package func step(_ steps: inout [SequenceStep], stepsAside: Bool, cancelled: (Int) -> Bool) {
        precondition(steps.count <= plan.sequenceCount, "the plan has room for \(plan.sequenceCount) sequences")
        guard let cache = steps.first?.state.cache else { return }
        model.beginStep(nil)
        defer { model.endStep() }
        let pass = model.scratch.steps
        pass.begin(sequences: steps.count, form: .absorbed, stepsAside: stepsAside)
        for index in steps.indices {
            let state = steps[index].state
            do {
                try model.check(CollectionOfOne(steps[index].token), state)
                model.embed(steps[index].token, row: pass.count, of: pass)
                // The start token stands before the first.
                pass.append(position: state.tokenCount + 1, sequence: index, state: state, rotary: model.rotary)
            } catch {
                pass.fail(index, error)
            }
        }
        decode(pass, cache, cancelled: cancelled)
        for index in steps.indices {
            steps[index].failure = pass.failures[index]
            if pass.failures[index] != nil { steps[index].state.expertUses?.forget() }
        }
        for (row, place) in pass.rows.enumerated() {
            steps[place.sequence].logitsRow = row
            steps[place.sequence].state.tokenCount += 1
            steps[place.sequence].state.expertUses?.keep()
        }
    }

    /// The decoder's first token, behind the input's positions. The state then has the input in it.
    func begin(
        _ state: DecodingState, count: Int, with token: Int32, stepsAside: Bool, cancelled: () -> Bool
    ) throws(ModelError) {
        let pass = model.scratch.steps
        state.inputCount = count
        pass.begin(sequences: 1, form: .absorbed, stepsAside: stepsAside)
        model.embed(token, row: 0, of: pass)
        pass.append(position: count, sequence: 0, state: state, rotary: model.rotary)
        decode(pass, state.cache) { _ in cancelled() }
        if let failure = pass.failures[0] { throw failure }
        state.expertUses?.keep()
        state.tokenCount = count
    }

    /// All layers of the decoder and the logits, for a token each of several sequences.
    private func decode(_ pass: ForwardPass, _ cache: KeyValueCache, cancelled: (Int) -> Bool) {
        model.predictionDuration = .zero
        experts.beginStep()
        defer { experts.endStep(predicting: model.predictionDuration) }
        for index in firstDecoderLayer..<configuration.layerCount where pass.poll(cancelled) {
            pass.dropFailedRows()
            let layer = model.weights.layers[index]
            addAttention(layer.attention, layer: index, pass, cache)
            if let cross = layer.cross { addAttention(across: cross, layer: index, pass, cache) }
            model.addFeedForward(layer, index: index, pass, cancelled: cancelled)
        }
        pass.dropFailedRows()
        if pass.count > 0 { computeLogits(pass) }
    }

    /// Attention to the answer's own tokens so far, which enter the cache behind the input's positions.
    private func addAttention(
        _ weights: ResidentTensors.Attention, layer: Int, _ pass: ForwardPass, _ cache: KeyValueCache
    ) {
        guard let projections = weights.relative else { return }
        let (scratch, count) = (model.scratch, pass.count)
        let (keys, values) = unsafe (scratch.floats(.keyValue), scratch.floats(.keyValue) + count * size)
        unsafe loadNormed(weights.norm, pass)
        unsafe model.multiply(projections.query, model.input, tokens: count, into: scratch.floats(.queries))
        unsafe model.multiply(projections.key, model.input, tokens: count, into: keys)
        unsafe model.multiply(projections.value, model.input, tokens: count, into: values)
        for (index, row) in pass.rows.enumerated() {
            unsafe cached(row, layer, cache).store(keys + index * size, values + index * size, at: row.position)
        }
        attend(pass, layer: layer, cache, bias: decoderBias) { $0.inputCount..<$0.position + 1 }
        addAttended(weights.output, pass)
    }

    /// Attention to what the encoder made of the input.
    private func addAttention(
        across weights: ResidentTensors.CrossAttention, layer: Int, _ pass: ForwardPass, _ cache: KeyValueCache
    ) {
        let scratch = model.scratch
        unsafe loadNormed(weights.norm, pass)
        unsafe model.multiply(
            weights.projections.query, model.input, tokens: pass.count, into: scratch.floats(.queries))
        attend(pass, layer: layer, cache, bias: nil) { 0..<$0.inputCount }
        addAttended(weights.output, pass)
    }

    /// Every row's `queries` to some of its sequence's positions, into `attended`.
    private func attend(
        _ pass: ForwardPass, layer: Int, _ cache: KeyValueCache, bias: PositionBias?,
        to positions: (ForwardPass.Row) -> Range<Int>
    ) {
        let (queries, attended) = unsafe (model.scratch.floats(.queries), model.scratch.floats(.attended))
        let work = pass.rows.reduce(0) { $0 + 2 * positions($1).count * size }
        model.forEach(pass.count * shape.headCount, work: work) { item in
            let (index, head) = item.quotientAndRemainder(dividingBy: shape.headCount)
            let row = pass.rows[index]
            let place = index * size + head * shape.headSize
            unsafe attend(
                queries + place, at: row.position, head: head, to: .cached(cached(row, layer, cache)),
                positions: positions(row), bias: bias, into: attended + place)
        }
    }

    private func cached(_ row: ForwardPass.Row, _ layer: Int, _ cache: KeyValueCache) -> CachedLayer {
        unsafe CachedLayer(row.blocks, layer: layer - firstDecoderLayer, of: cache)
    }

    /// Of all rows, into `logits`.
    private func computeLogits(_ pass: ForwardPass) {
        let (scratch, count) = (model.scratch, pass.count)
        unsafe model.norm(model.weights.outputNorm, pass, rows: 0..<count)
        unsafe model.kernels.scale(scratch.floats(.normed), by: encoder.outputScale, count: count * hiddenSize)
        unsafe model.load(model.input, scratch.floats(.normed), tokens: count, columns: hiddenSize)
        unsafe model.multiply(model.weights.outputHead, model.input, tokens: count, into: scratch.floats(.logits))
    }
}

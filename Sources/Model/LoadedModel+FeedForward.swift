import Compute
import Container

/// Rows that one feed-forward is to be applied to.
struct FeedForwardJob {
    let matrices: FeedForwardMatrices
    let kind: FeedForwardKind
    /// The first of its inputs.
    let inputRow: Int
    /// The first of its rows between `up` and `down`; no two jobs share one.
    let firstRow: Int
    let rowCount: Int
    /// The first of its results.
    let outputRow: Int
}

enum FeedForwardKind {
    case dense(layer: Int)
    case shared(layer: Int)
    case expert(ExpertKey)

    /// What its `down` gets.
    var intermediate: MatrixInput {
        switch self {
        case .dense(let layer): .denseIntermediate(layer: layer)
        case .shared(let layer): .sharedIntermediate(layer: layer)
        case .expert(let key): .expertIntermediate(key)
        }
    }
}

extension LoadedModel {
    /// hidden += feed-forward(norm(hidden))
    package func addFeedForward(
        _ layer: ResidentTensors.Layer, index: Int, _ pass: ForwardPass, cancelled: (Int) -> Bool
    ) {
        let count = pass.count
        unsafe norm(layer.feedForwardNorm, pass, rows: 0..<count)
        unsafe showInputs(
            scratch.floats(.normed), count: count, columns: configuration.hiddenSize, of: .feedForward(layer: index))
        unsafe load(input, scratch.floats(.normed), tokens: count, columns: configuration.hiddenSize)
        switch layer.feedForward {
        case .dense(let matrices):
            computeForAll(matrices, .dense(layer: index), count: count, into: .delta)
            addToHidden(.delta, pass)
        case .sparse(let sparse):
            addExperts(layer: index, sparse, pass, cancelled: cancelled)
        }
    }

    /// One feed-forward of all the pass's rows, from `input`.
    func computeForAll(
        _ matrices: FeedForwardMatrices, _ kind: FeedForwardKind, count: Int, into output: ScratchLayout.Buffer
    ) {
        scratch.jobs.removeAll(keepingCapacity: true)
        scratch.jobs.append(
            FeedForwardJob(
                matrices: matrices, kind: kind, inputRow: 0, firstRow: 0, rowCount: count, outputRow: 0))
        unsafe compute(rows: count, from: input, into: scratch.floats(output))
    }

    /// `scratch.jobs`, feed-forwards of one width, together, so that threads meet twice and not twice for each.
    ///
    /// - Parameters:
    ///   - rows: of all jobs together.
    ///   - output: [rows, hidden]
    private func compute(rows: Int, from input: ActivationBuffer, into output: UnsafeMutablePointer<Float>) {
        computeGated(rows: rows, from: input)
        unsafe computeDown(rows: rows, into: output)
    }

    /// The first half: silu(gate) ⊙ up of all jobs, or what takes its place, into `gated`; relu(up) where there is no gate.
    func computeGated(rows: Int, from input: ActivationBuffer) {
        guard let shape = scratch.jobs.first?.matrices.up.shape else { return }
        let (size, width) = (shape.columns, shape.rows)
        let work = rows * width * size
        let gated = unsafe scratch.floats(.gated)

        let panels = shape.panelCount
        share(scratch.jobs.count * panels, work: 2 * work) { piece in
            Self.forEachPart(of: piece, perJob: panels) { index, range in
                let job = scratch.jobs[index]
                // The kernels place a token's results by its own number.
                let shift = (job.firstRow - job.inputRow) * width
                let tokens = job.inputRow..<job.inputRow + job.rowCount
                guard let gate = job.matrices.gate else {
                    unsafe kernels.multiply(
                        job.matrices.up, panels: range, input, tokens: tokens, into: gated + shift, yStride: width)
                    unsafe rectify(gated, rows: job.firstRow..<job.firstRow + job.rowCount, width: width, panels: range)
                    return
                }
                unsafe kernels.multiplyGated(
                    gate, job.matrices.up, job.matrices.gating, panels: range, input, tokens: tokens,
                    into: gated + shift, yStride: width)
            }
        }
    }

    /// relu of some panels' columns in rows of `gated`.
    private func rectify(_ gated: UnsafeMutablePointer<Float>, rows: Range<Int>, width: Int, panels: Range<Int>) {
        let columns = panels.lowerBound * MatrixShape.panelRows..<min(panels.upperBound * MatrixShape.panelRows, width)
        for row in rows {
            unsafe kernels.relu(gated + row * width + columns.lowerBound, count: columns.count)
        }
    }

    /// The second half: `down` of what is in `gated`.
    func computeDown(rows: Int, into output: UnsafeMutablePointer<Float>) {
        guard let shape = scratch.jobs.first?.matrices.up.shape else { return }
        let (size, width) = (shape.columns, shape.rows)
        let work = rows * width * size
        let gated = unsafe scratch.floats(.gated)
        if scratch.inputObserver != nil {
            for job in scratch.jobs {
                unsafe showInputs(
                    gated + job.firstRow * width, count: job.rowCount, columns: width, of: job.kind.intermediate)
            }
        }
        var wantsFloats = false
        for index in scratch.jobs.indices where !scratch.jobs[index].matrices.down.shape.format.isQuantized {
            wantsFloats = true
        }
        unsafe load(intermediate, gated, tokens: rows, columns: width, floats: wantsFloats)
        // Kernels are fastest with an even number of panels.
        let downPanels = (size + 7) / 8
        let pairs = (downPanels + 1) / 2
        share(scratch.jobs.count * pairs, work: work) { piece in
            Self.forEachPart(of: piece, perJob: pairs) { index, range in
                let job = scratch.jobs[index]
                unsafe kernels.multiply(
                    job.matrices.down, panels: 2 * range.lowerBound..<min(2 * range.upperBound, downPanels),
                    intermediate, tokens: job.firstRow..<job.firstRow + job.rowCount,
                    into: output + (job.outputRow - job.firstRow) * size, yStride: size)
            }
        }
    }

    /// Calls `body` with each job that a piece touches, and with the job's own part of it.
    private static func forEachPart(of piece: Range<Int>, perJob count: Int, _ body: (Int, Range<Int>) -> Void) {
        var unit = piece.lowerBound
        while unit < piece.upperBound {
            let (job, first) = unit.quotientAndRemainder(dividingBy: count)
            let end = min(count, first + piece.upperBound - unit)
            body(job, first..<end)
            unit += end - first
        }
    }
}

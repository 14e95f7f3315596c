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
    func addFeedForward(
        _ layer: ResidentTensors.Layer, index: Int, _ pass: ForwardPass, cancelled: (Int) -> Bool
    ) {
        let count = pass.count
        unsafe norm(layer.feedForwardNorm, pass, rows: 0..<count)
        unsafe showInputs(
            scratch.floats(.normed), count: count, columns: configuration.hiddenSize, of: .feedForward(layer: index))
        unsafe load(scratch.input, scratch.floats(.normed), tokens: count, columns: configuration.hiddenSize)
        switch layer.feedForward {
        case .dense(let matrices):
            computeForAll(matrices, .dense(layer: index), count: count, into: .delta)
            addToHidden(.delta, pass)
        case .sparse(let router, let choice, let shared):
            addExperts(layer: index, router, choice, shared, pass, cancelled: cancelled)
        }
    }

    /// One feed-forward of all the pass's rows, from `scratch.input`.
    func computeForAll(
        _ matrices: FeedForwardMatrices, _ kind: FeedForwardKind, count: Int, into output: ScratchLayout.Buffer
    ) {
        scratch.jobs.removeAll(keepingCapacity: true)
        scratch.jobs.append(
            FeedForwardJob(
                matrices: matrices, kind: kind, inputRow: 0, firstRow: 0, rowCount: count, outputRow: 0))
        unsafe compute(scratch.jobs, rows: count, from: scratch.input, into: scratch.floats(output))
    }

    /// Several feed-forwards of one width together, so that threads meet twice and not twice for each.
    ///
    /// - Parameters:
    ///   - rows: of all jobs together.
    ///   - output: [rows, hidden]
    func compute(
        _ jobs: [FeedForwardJob], rows: Int, from input: ActivationBuffer, into output: UnsafeMutablePointer<Float>
    ) {
        guard let shape = jobs.first?.matrices.gate.shape else { return }
        let (size, width) = (shape.columns, shape.rows)
        let work = rows * width * size
        let (gate, up) = unsafe (scratch.floats(.gate), scratch.floats(.up))

        let panels = shape.panelCount
        let pieces = pieceCount(panels: panels, together: jobs.count, work: 2 * work)
        forEach(jobs.count * pieces, work: 2 * work) { item in
            let job = jobs[item / pieces]
            let piece = item % pieces
            let range = self.panels(ofPiece: piece, of: pieces, panels: panels)
            let tokens = job.inputRow..<job.inputRow + job.rowCount
            // The kernels place a token's results by its own number.
            let shift = (job.firstRow - job.inputRow) * width
            unsafe kernels.multiply(
                job.matrices.gate, panels: range, input, tokens: tokens, into: gate + shift, yStride: width)
            unsafe kernels.multiply(
                job.matrices.up, panels: range, input, tokens: tokens, into: up + shift, yStride: width)
            let columns = range.lowerBound * 8..<min(range.upperBound * 8, width)
            for row in job.firstRow..<job.firstRow + job.rowCount {
                let start = row * width + columns.lowerBound
                unsafe kernels.siluMultiply(
                    gate: gate + start, up: up + start, count: columns.count, into: gate + start)
            }
        }

        for job in jobs {
            unsafe showInputs(
                gate + job.firstRow * width, count: job.rowCount, columns: width, of: job.kind.intermediate)
        }
        unsafe load(scratch.intermediate, gate, tokens: rows, columns: width)
        let downPanels = (size + 7) / 8
        let downPieces = pieceCount(panels: downPanels, together: jobs.count, work: work)
        forEach(jobs.count * downPieces, work: work) { item in
            let job = jobs[item / downPieces]
            let range = self.panels(ofPiece: item % downPieces, of: downPieces, panels: downPanels)
            unsafe kernels.multiply(
                job.matrices.down, panels: range, scratch.intermediate,
                tokens: job.firstRow..<job.firstRow + job.rowCount,
                into: output + (job.outputRow - job.firstRow) * size, yStride: size)
        }
    }
}

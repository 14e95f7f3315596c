import Checkpoint
import Compute

/// What an encoder of some matrices is made of, but for the code table.
struct EncoderSettings {
    let shape: MatrixShape
    let method: QuantizationMethod
    let weights: [Float]?
    let compensation: Compensation?
    let stride: Int
    /// Of a second plane; nil for a matrix of one.
    let refinementStride: Int?

    /// A table is chosen by every 32nd panel, and by no fewer than this.
    private static let leastPanelCount = 4
    private static let panelsPerSample = 32

    init(
        _ shape: MatrixShape, _ options: EncodingOptions, weights: [Float]?, compensation: Compensation? = nil,
        stride: Int? = nil, refinementStride: Int? = nil
    ) {
        self.shape = shape
        method = options.method
        // Moments of another model's matrix were refused before; unquantised formats have no use for them.
        self.weights = shape.format.isQuantized && weights?.count == shape.columns ? weights : nil
        self.compensation = compensation
        self.stride = stride ?? shape.strideByteCount
        self.refinementStride = refinementStride
    }

    /// An encoder for all of `matrices`.
    ///
    /// - Parameter table: nil for the one that loses less.
    func encoder(for matrices: [SourceMatrix], table: CodeTable? = nil) throws -> MatrixEncoder {
        // Refinements divide the non-linear table's steps.
        if refinementStride != nil { return encoder(.nonLinear, .search) }
        guard shape.format == .q4 else { return encoder(.linear, method == .rtn ? .plain : .search) }
        // Codes that are taken over as they are keep their meaning.
        if let source = matrices.first(where: { $0.isTakenOver(as: .q4) }), let format = source.importFormat {
            return encoder(format.table, method == .rtn && format.table == .linear ? .plain : .search)
        }
        guard method != .rtn else { return encoder(.linear, .plain) }
        if let table { return encoder(table, .search) }
        let candidates = CodeTable.searched.map { encoder($0, .search) }
        var losses = [Double](repeating: 0, count: candidates.count)
        for matrix in matrices {
            try unsafe matrix.forEach(of: sample) { start, rowCount in
                for (index, candidate) in candidates.enumerated() {
                    // What can't be encoded is reported, with its name, where it is encoded.
                    losses[index] += unsafe candidate.loss(of: start, rows: rowCount)?.weightedError ?? 0
                }
            }
        }
        var best = 0
        for index in losses.indices where losses[index] < losses[best] { best = index }
        return candidates[best]
    }

    private func encoder(_ table: CodeTable, _ method: ScaleMethod) -> MatrixEncoder {
        MatrixEncoder(
            shape, stride: stride, table: table, method: method, weights: weights, compensation: compensation,
            refinementStride: refinementStride)
    }

    /// Panels spread evenly over the rows.
    var sample: [Range<Int>] {
        let panelCount = (shape.rows + MatrixShape.panelRows - 1) / MatrixShape.panelRows
        let count = min(panelCount, max(Self.leastPanelCount, panelCount / Self.panelsPerSample))
        return (0..<count).map { index in
            let first = index * panelCount / count * MatrixShape.panelRows
            return first..<min(first + MatrixShape.panelRows, shape.rows)
        }
    }
}

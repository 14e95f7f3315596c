import Checkpoint
import Compute
import Container

/// What is stored as one array: a resident tensor or a routed expert's blob.
struct ConversionUnit {
    enum Content {
        case tensor(SourceTensor, MatrixShape)
        case expert(SourceExpert, ExpertLayout)
    }

    /// One matrix of the unit and its place in the array.
    struct Part {
        var source: SourceMatrix
        var encoder: MatrixEncoder
        var offset: Int
    }

    let content: Content
    let parts: [Part]
    let byteCount: Int

    init(_ tensor: SourceTensor, _ shape: MatrixShape) {
        content = .tensor(tensor, shape)
        parts = [Part(source: tensor.matrix, encoder: MatrixEncoder(shape), offset: 0)]
        byteCount = shape.byteCount
    }

    init(_ expert: SourceExpert, _ layout: ExpertLayout) {
        content = .expert(expert, layout)
        let gateUp = MatrixEncoder(layout.gateShape, stride: layout.gateUpStride)
        parts = [
            Part(source: expert.gate, encoder: gateUp, offset: 0),
            Part(source: expert.up, encoder: gateUp, offset: layout.upOffset),
            Part(source: expert.down, encoder: MatrixEncoder(layout.downShape), offset: layout.downOffset),
        ]
        byteCount = layout.byteCount
    }

    var isExpert: Bool {
        if case .expert = content { true } else { false }
    }
}

/// A few rows of one matrix: what one thread does at a time.
struct ConversionTask {
    /// Place in the batch.
    var unit: Int
    var part: Int
    var rows: Range<Int>

    /// Weights that a task has at most, if they are more than one panel: small enough to keep every thread busy to the
    /// end of a batch, large enough for reads of half a megabyte.
    private static let weightLimit = 1 << 18

    /// The tasks of a batch, in the order of its units, parts and rows.
    static func tasks(of batch: some Collection<ConversionUnit>) -> [ConversionTask] {
        var tasks: [ConversionTask] = []
        for (unit, content) in batch.enumerated() {
            for (part, matrix) in content.parts.enumerated() {
                let panels = weightLimit / max(1, matrix.source.columns * MatrixShape.panelRows)
                let step = max(1, panels) * MatrixShape.panelRows
                for start in stride(from: 0, to: matrix.source.rows, by: step) {
                    let rows = start..<min(start + step, matrix.source.rows)
                    tasks.append(ConversionTask(unit: unit, part: part, rows: rows))
                }
            }
        }
        return tasks
    }
}

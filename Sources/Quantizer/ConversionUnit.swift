import Checkpoint
import Compute
import Container

/// What is made and written as one piece: a resident tensor, some rows of a large one, or a routed expert's blob.
struct ConversionUnit {
    enum Content {
        /// - Parameter rows: of the tensor; all of them unless it is made in pieces.
        case tensor(SourceTensor, MatrixShape, CodeTable, rows: Range<Int>)
        /// - Parameters:
        ///   - layout: with the linear tables until `prepared(_:)` has chosen.
        ///   - refinement: of the second plane, if there is one; its bytes follow the blob's.
        case expert(SourceExpert, ExpertLayout, RefinementLayout?)
    }

    /// One matrix of the unit and its place in the unit's bytes.
    struct Part {
        var source: SourceMatrix
        /// Rows of `source` that are encoded; the encoder counts from the first of them.
        var rows: Range<Int>
        var encoder: MatrixEncoder
        var offset: Int
        /// Of the second plane, if it has one.
        var refinementOffset: Int?
        /// Instead of encoding.
        var packedImport: PackedImport?

        init(
            source: SourceMatrix, rows: Range<Int>, encoder: MatrixEncoder, offset: Int, refinementOffset: Int? = nil
        ) {
            self.source = source
            self.rows = rows
            self.encoder = encoder
            self.offset = offset
            self.refinementOffset = refinementOffset
            packedImport =
                refinementOffset == nil
                ? PackedImport(source, rows: rows, encoder.shape, encoder.table, stride: encoder.stride) : nil
        }
    }

    /// Code tables that were decided beforehand; nil: the one that loses less.
    struct Tables {
        /// Of a tensor, or of gate and up.
        var first: CodeTable?
        var down: CodeTable?
    }

    let content: Content
    let tables: Tables
    let parts: [Part]
    /// Of a tensor, or of an expert's blob.
    let blobByteCount: Int
    /// Of everything.
    let byteCount: Int

    /// Bytes of a piece of a tensor that is stored larger than it was, as floats are.
    private static let pieceByteCount = 32 << 20

    init(
        _ expert: SourceExpert, _ layout: ExpertLayout, _ refinement: RefinementLayout? = nil,
        _ tables: Tables = Tables()
    ) {
        self.init(
            expert, layout, refinement, tables, gateUp: MatrixEncoder(layout.gateShape, stride: layout.gateUpStride),
            down: MatrixEncoder(layout.downShape))
    }

    /// - Parameter gateUp: with the stride of the layout's alternating panels.
    init(
        _ expert: SourceExpert, _ layout: ExpertLayout, _ refinement: RefinementLayout?, _ tables: Tables,
        gateUp: MatrixEncoder, down: MatrixEncoder
    ) {
        self.tables = tables
        var layout = layout
        layout.gateUpTable = gateUp.table
        layout.downTable = down.table
        content = .expert(expert, layout, refinement)
        let width = 0..<layout.intermediateSize
        let plane = MatrixShape.padded(layout.byteCount)
        let gateUpPlane = refinement?.refinesGateUp == true ? refinement : nil
        let downPlane = refinement?.refinesDown == true ? refinement : nil
        let intermediate = expert.gateUp.enumerated().map { index, source in
            Part(
                source: source, rows: width, encoder: gateUp, offset: index * layout.upOffset,
                refinementOffset: gateUpPlane.map { plane + index * $0.upOffset })
        }
        parts =
            intermediate + [
                Part(
                    source: expert.down, rows: 0..<layout.hiddenSize, encoder: down, offset: layout.downOffset,
                    refinementOffset: downPlane.map { plane + $0.downOffset })
            ]
        blobByteCount = layout.byteCount
        byteCount = refinement.map { plane + $0.byteCount } ?? layout.byteCount
    }

    /// Where the second plane begins among the unit's bytes; nil where there is none.
    var refinementRange: Range<Int>? {
        guard case .expert(_, _, let refinement?) = content else { return nil }
        return byteCount - refinement.byteCount..<byteCount
    }

    private init(_ tensor: SourceTensor, _ shape: MatrixShape, _ tables: Tables, rows: Range<Int>) {
        var piece = shape
        piece.rows = rows.count
        self.init(tensor, shape, tables, rows: rows, MatrixEncoder(piece))
    }

    /// - Parameter encoder: of the piece that has the rows.
    init(
        _ tensor: SourceTensor, _ shape: MatrixShape, _ tables: Tables, rows: Range<Int>, _ encoder: MatrixEncoder
    ) {
        self.tables = tables
        content = .tensor(tensor, shape, encoder.table, rows: rows)
        parts = [Part(source: tensor.matrix, rows: rows, encoder: encoder, offset: 0)]
        blobByteCount = encoder.shape.byteCount
        byteCount = blobByteCount
    }

    /// One unit, or several for a large tensor of floats: a quantised one isn't larger than it was, and an expert is
    /// never large.
    static func units(
        of tensor: SourceTensor, _ shape: MatrixShape, table: CodeTable? = nil
    ) -> [ConversionUnit] {
        let panels =
            pieceByteCount / max(1, shape.strideByteCount * (shape.layout == .panels ? 1 : MatrixShape.panelRows))
        let step = shape.format.isQuantized ? shape.rows : max(1, panels) * MatrixShape.panelRows
        return stride(from: 0, to: shape.rows, by: step).map { start in
            ConversionUnit(tensor, shape, Tables(first: table), rows: start..<min(start + step, shape.rows))
        }
    }

    var isExpert: Bool {
        if case .expert = content { true } else { false }
    }

    /// Whether the array is complete with this unit.
    var isLast: Bool {
        if case .tensor(_, let shape, _, let rows) = content { rows.upperBound == shape.rows } else { true }
    }

    /// Whether a finished array is the one that this unit belongs to. The code tables aren't compared: which one loses
    /// less may show only when the array is made.
    func isPart(of record: ArrayRecord) -> Bool {
        switch (content, record) {
        case (.tensor(let tensor, let shape, _, _), .tensor(let record)):
            return tensor.requirement.key == record.key && shape == record.shape
        case (.expert(let expert, let layout, _), .expert(let record)):
            return expert.key == record.key && layout.gateShape == record.layout.gateShape
                && layout.downShape == record.layout.downShape
        case (.expert(let expert, _, let refinement), .refinement(let record)):
            return expert.key == record.key && refinement == record.layout
        default: return false
        }
    }

    /// Bytes of the checkpoint that it is made from.
    var sourceByteCount: Int {
        parts.reduce(0) { $0 + $1.source.byteCount(ofRows: $1.rows.count) }
    }

    /// nil for the model's own tensors.
    var layer: Int? {
        switch content {
        case .tensor(let tensor, _, _, _): tensor.requirement.key.layer
        case .expert(let expert, _, _): expert.key.layer
        }
    }

    var name: String {
        switch content {
        case .tensor(let tensor, _, _, _): "\(tensor.requirement.key)"
        case .expert(let expert, _, _): "\(expert.key)"
        }
    }
}

/// A few rows of one matrix: what one thread does at a time.
struct ConversionTask {
    /// Place in the batch.
    var unit: Int
    var part: Int
    /// Counted from the part's first row.
    var rows: Range<Int>

    /// Weights that a task has at most, if they are more than one panel: small enough to keep every thread busy to the
    /// end of a batch, large enough for reads of half a megabyte.
    private static let weightLimit = 1 << 18
    /// The same of a matrix whose rows are columns in the file, where few rows are many small reads.
    private static let transposedWeightLimit = 1 << 21

    /// The tasks of a batch, in the order of its units, parts and rows.
    static func tasks(of batch: some Collection<ConversionUnit>) -> [ConversionTask] {
        var tasks: [ConversionTask] = []
        for (unit, content) in batch.enumerated() {
            for (part, matrix) in content.parts.enumerated() {
                let limit = matrix.source.isTransposed ? transposedWeightLimit : weightLimit
                let panels = limit / max(1, matrix.source.columns * MatrixShape.panelRows)
                let step = max(1, panels) * MatrixShape.panelRows
                for start in stride(from: 0, to: matrix.rows.count, by: step) {
                    let rows = start..<min(start + step, matrix.rows.count)
                    tasks.append(ConversionTask(unit: unit, part: part, rows: rows))
                }
            }
        }
        return tasks
    }
}

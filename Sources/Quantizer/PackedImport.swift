import Checkpoint
import Compute
import Container

/// Takes over matrices that the checkpoint already has in a format of the container: the same codes and scales in
/// another layout, so that every value stays what it was.
struct PackedImport {
    private let source: SourceMatrix
    /// The row of `source` from which others are counted.
    private let firstRow: Int
    private let packing: MatrixPacking
    /// Bytes from one panel (or row) to the next.
    private let stride: Int

    /// nil where the matrix has to be quantised: it isn't packed, or it is to become something else.
    init?(_ source: SourceMatrix, rows: Range<Int>, _ shape: MatrixShape, _ table: CodeTable, stride: Int) {
        guard let format = source.importFormat, format.format == shape.format,
            format.scaleFormat == shape.scaleFormat, format.format == .q8 || format.table == table
        else { return nil }
        self.source = source
        firstRow = rows.lowerBound
        packing = MatrixPacking(shape)
        self.stride = stride
    }

    /// - Parameters:
    ///   - rows: from a multiple of 8 to a multiple of 8 or the last row.
    ///   - base: the matrix's first byte.
    func copy(rows: Range<Int>, into base: UnsafeMutableRawPointer) throws(CheckpointError) {
        let columns = packing.shape.columns
        let codes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: rows.count * columns)
        defer { unsafe codes.deallocate() }
        let groups = columns / BlockFormat.groupSize
        let scales = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: rows.count * groups)
        defer { unsafe scales.deallocate() }
        let sourceRows = firstRow + rows.lowerBound..<firstRow + rows.upperBound
        try unsafe source.readPacked(sourceRows, codes: codes, scales: scales)
        guard let firstCode = codes.baseAddress, let firstScale = scales.baseAddress else { return }
        let together = packing.rowsPerBlock
        for block in rows.lowerBound / together..<(rows.upperBound + together - 1) / together {
            let row = block * together - rows.lowerBound
            unsafe packing.packBlock(
                block, codes: firstCode + row * columns, scales: firstScale + row * groups, into: base + block * stride)
        }
    }
}

extension MatrixShape {
    /// The shape with the scales of a matrix that is taken over as it is.
    func importing(_ source: SourceMatrix) -> MatrixShape {
        guard source.isTakenOver(as: format), let importing = source.importFormat else { return self }
        var shape = self
        shape.scaleFormat = importing.scaleFormat
        return shape
    }
}

extension ExpertLayout {
    /// The layout with the scales of matrices that are taken over as they are.
    func importing(_ source: SourceExpert) -> ExpertLayout {
        var layout = self
        // Gate and up share one format of scales.
        if source.gate.importFormat == source.up.importFormat {
            layout.gateUpScaleFormat = gateShape.importing(source.gate).scaleFormat
        }
        layout.downScaleFormat = downShape.importing(source.down).scaleFormat
        return layout
    }
}

extension RefinementLayout {
    /// The plane without the matrices that are taken over as they are, which have nothing to refine; nil if none is left.
    func importing(_ source: SourceExpert) -> RefinementLayout? {
        var layout = self
        if source.gate.isTakenOver(as: .q4), source.gate.importFormat == source.up.importFormat {
            layout.refinesGateUp = false
        }
        if source.down.isTakenOver(as: .q4) { layout.refinesDown = false }
        return layout.byteCount > 0 ? layout : nil
    }
}

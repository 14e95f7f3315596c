package import Compute

/// Where a routed expert's three matrices stand in its (unpacked) blob.
///
/// `gate` and `up`, both [intermediate, hidden], alternate by panel so that both stream together: gate's panel 0,
/// up's panel 0, gate's panel 1 …; `down`, [hidden, intermediate], follows. Gate and up share one format and table.
package struct ExpertLayout: Sendable, Equatable {
    package var hiddenSize: Int
    package var intermediateSize: Int
    package var gateUpFormat: BlockFormat
    package var gateUpTable: CodeTable
    package var downFormat: BlockFormat
    package var downTable: CodeTable
    package var gateUpScaleFormat: ScaleFormat
    package var downScaleFormat: ScaleFormat

    package init(
        hiddenSize: Int, intermediateSize: Int, gateUpFormat: BlockFormat, gateUpTable: CodeTable,
        downFormat: BlockFormat, downTable: CodeTable, gateUpScaleFormat: ScaleFormat = .f16,
        downScaleFormat: ScaleFormat = .f16
    ) {
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.gateUpFormat = gateUpFormat
        self.gateUpTable = gateUpTable
        self.downFormat = downFormat
        self.downTable = downTable
        self.gateUpScaleFormat = gateUpScaleFormat
        self.downScaleFormat = downScaleFormat
    }

    /// Gate's shape, and up's.
    package var gateShape: MatrixShape {
        MatrixShape(
            rows: intermediateSize, columns: hiddenSize, format: gateUpFormat, layout: .panels,
            scaleFormat: gateUpScaleFormat)
    }

    package var downShape: MatrixShape {
        MatrixShape(
            rows: hiddenSize, columns: intermediateSize, format: downFormat, layout: .panels,
            scaleFormat: downScaleFormat)
    }

    /// Bytes from one panel of gate to the next, and of up to the next.
    package var gateUpStride: Int { 2 * gateShape.strideByteCount }
    package var upOffset: Int { gateShape.strideByteCount }
    package var downOffset: Int { 2 * gateShape.byteCount }
    package var byteCount: Int { downOffset + downShape.byteCount }
}

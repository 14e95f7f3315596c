package import Compute

/// Where a routed expert's three matrices stand in its (unpacked) blob.
///
/// `gate` and `up`, both [intermediate, hidden], alternate by panel so that both stream together: gate's panel 0,
/// up's panel 0, gate's panel 1 …; `down`, [hidden, intermediate], follows. Gate and up share one format and table.
/// Without a gate, up stands alone.
package struct ExpertLayout: Sendable, Equatable {
    package var hiddenSize: Int
    package var intermediateSize: Int
    package var gateUpFormat: BlockFormat
    package var gateUpTable: CodeTable
    package var downFormat: BlockFormat
    package var downTable: CodeTable
    package var gateUpScaleFormat: ScaleFormat
    package var downScaleFormat: ScaleFormat
    package var isGated: Bool

    package init(
        hiddenSize: Int, intermediateSize: Int, gateUpFormat: BlockFormat, gateUpTable: CodeTable,
        downFormat: BlockFormat, downTable: CodeTable, gateUpScaleFormat: ScaleFormat = .f16,
        downScaleFormat: ScaleFormat = .f16, isGated: Bool = true
    ) {
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.gateUpFormat = gateUpFormat
        self.gateUpTable = gateUpTable
        self.downFormat = downFormat
        self.downTable = downTable
        self.gateUpScaleFormat = gateUpScaleFormat
        self.downScaleFormat = downScaleFormat
        self.isGated = isGated
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

    /// Gate and up, or up alone.
    package var gateUpCount: Int { isGated ? 2 : 1 }
    /// Bytes from one panel of gate to the next, and of up to the next.
    package var gateUpStride: Int { gateUpCount * gateShape.strideByteCount }
    package var upOffset: Int { isGated ? gateShape.strideByteCount : 0 }
    package var downOffset: Int { gateUpCount * gateShape.byteCount }
    package var byteCount: Int { downOffset + downShape.byteCount }
}

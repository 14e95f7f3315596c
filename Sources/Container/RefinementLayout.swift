internal import Compute

/// The plane that turns `q4` matrices of a routed expert into `q8` ones: four bits a weight in the places of the codes
/// that they refine, panel by panel in the order of the expert's blob. Scales aren't repeated.
package struct RefinementLayout: Sendable, Equatable {
    package var hiddenSize: Int
    package var intermediateSize: Int
    package var refinesGateUp: Bool
    package var refinesDown: Bool
    /// Whether up has a gate beside it; true where neither is refined.
    package var isGated: Bool

    package init(
        hiddenSize: Int, intermediateSize: Int, refinesGateUp: Bool, refinesDown: Bool, isGated: Bool = true
    ) {
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.refinesGateUp = refinesGateUp
        self.refinesDown = refinesDown
        self.isGated = isGated || !refinesGateUp
    }

    private var gateShape: MatrixShape {
        MatrixShape(rows: intermediateSize, columns: hiddenSize, format: .q4, layout: .panels)
    }

    private var downShape: MatrixShape {
        MatrixShape(rows: hiddenSize, columns: intermediateSize, format: .q4, layout: .panels)
    }

    /// Gate and up, or up alone.
    package var gateUpCount: Int { isGated ? 2 : 1 }
    /// Bytes from one panel of gate to the next, and of up to the next.
    package var gateUpStride: Int { gateUpCount * gateShape.refinementStrideByteCount }
    package var upOffset: Int { isGated ? gateShape.refinementStrideByteCount : 0 }
    package var downStride: Int { downShape.refinementStrideByteCount }
    package var downOffset: Int { refinesGateUp ? gateShape.panelCount * gateUpStride : 0 }
    package var byteCount: Int { downOffset + (refinesDown ? downShape.panelCount * downStride : 0) }
}

extension ExpertLayout {
    /// The layout of the blob that this one and a refinement make.
    package func refined(by refinement: RefinementLayout) -> ExpertLayout {
        var layout = self
        if refinement.refinesGateUp {
            layout.gateUpFormat = .q8
            layout.gateUpTable = .linear
        }
        if refinement.refinesDown {
            layout.downFormat = .q8
            layout.downTable = .linear
        }
        return layout
    }

    /// Whether its matrices are what the refinement refines.
    package func canBeRefined(by refinement: RefinementLayout) -> Bool {
        func isCoarse(_ format: BlockFormat, _ table: CodeTable) -> Bool { format == .q4 && table == .nonLinear }
        return (refinement.refinesGateUp || refinement.refinesDown)
            && hiddenSize == refinement.hiddenSize && intermediateSize == refinement.intermediateSize
            && (!refinement.refinesGateUp || isGated == refinement.isGated)
            && (!refinement.refinesGateUp || isCoarse(gateUpFormat, gateUpTable))
            && (!refinement.refinesDown || isCoarse(downFormat, downTable))
    }
}

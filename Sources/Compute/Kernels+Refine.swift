internal import CKernels

extension MatrixShape {
    /// The `q8` matrix that refined codes make: scales stand in the same places, and have the same values.
    package var refined: MatrixShape {
        var shape = self
        shape.format = .q8
        return shape
    }

    /// Bytes of a panel's refinements: four bits a weight, in the places of the codes.
    package var refinementStrideByteCount: Int { columns / 2 * Self.panelRows }
}

extension Kernels {
    /// Quantises as `encode` does for `.q4` with the non-linear table, and finds for every code a second four bits with which
    /// it becomes a `q8` code of the same scale. Offline.
    ///
    /// Scales are such that the refined codes hold every value, which costs the coarse ones 4 % of squared error.
    ///
    /// - Parameter refinements: 0…15, [rows, 32 · groups].
    /// - Returns: what the codes lose, and Σ (x − x̂)² of the refined ones; nil if a value is too large for an f16 scale.
    package func encodeRefined(
        _ values: UnsafePointer<Float>, rowStride: Int, rows: Int, groups: Int, weights: UnsafePointer<Float>? = nil,
        scales: UnsafeMutablePointer<UInt16>, codes: UnsafeMutablePointer<UInt8>,
        refinements: UnsafeMutablePointer<UInt8>
    ) -> (coarse: EncodingLoss, refinedError: Double)? {
        precondition((0...MatrixShape.panelRows).contains(rows) && groups >= 0)
        var encoding = unsafe moed_encoding(
            format: BlockFormat.q4.rawValue, table: CodeTable.nonLinear.rawValue, method: ScaleMethod.search.rawValue,
            rows: Int64(rows), groups: Int64(groups), x: values, row_stride: Int64(rowStride), weights: weights,
            scales: scales, codes: codes, refinements: refinements)
        var lost = moed_loss()
        guard unsafe table.pointee.encode(&encoding, &lost) == 0 else { return nil }
        return ((lost.error, lost.energy, lost.weighted_error, lost.weighted_energy), lost.refined_error)
    }

    /// Makes panels of a `q8` matrix from those of a `q4` matrix with the non-linear table and its refinements.
    ///
    /// - Parameters:
    ///   - shape: of the `q4` matrix, in panels.
    ///   - coarse: its first panel; others follow every `coarseStride` bytes, and so for the two other places.
    ///   - refinements: `shape.refinementStrideByteCount` bytes a panel.
    ///   - fine: `shape.refined.strideByteCount` bytes a panel, all of which are written.
    package func refine(
        _ shape: MatrixShape, coarse: UnsafeRawPointer, coarseStride: Int, refinements: UnsafeRawPointer,
        refinementStride: Int, into fine: UnsafeMutableRawPointer, fineStride: Int
    ) {
        precondition(shape.format == .q4 && shape.layout == .panels)
        let scaleByteCount = shape.scaleByteCount
        for panel in 0..<shape.panelCount {
            let from = unsafe coarse + panel * coarseStride
            let to = unsafe fine + panel * fineStride
            unsafe to.copyMemory(from: from, byteCount: scaleByteCount)
            unsafe table.pointee.refine(
                (from + scaleByteCount).assumingMemoryBound(to: UInt8.self),
                (refinements + panel * refinementStride).assumingMemoryBound(to: UInt8.self),
                Int64(shape.groupsPerRow), (to + scaleByteCount).assumingMemoryBound(to: UInt8.self))
        }
    }
}

internal import Compute

extension ContainerReader {
    /// Reads one expert, unpacks it and puts its planes together. Any thread.
    ///
    /// - Parameters:
    ///   - destination: `source.byteCount` bytes. After an error they hold anything.
    ///   - scratch: at least `source.scratchByteCount` bytes, 64-byte aligned.
    ///   - verify: whether the stored bytes' checksums are compared. Decoding is safe without it.
    package func readExpert(
        _ source: ExpertSource, into destination: UnsafeMutableRawPointer, scratch: UnsafeMutableRawBufferPointer,
        verify: Bool
    ) throws(ContainerError) {
        guard source.refinement != nil else {
            return try unsafe readExpert(source.blob, into: destination, scratch: scratch, verify: verify)
        }
        guard scratch.count >= source.scratchByteCount else {
            throw ContainerError(
                .tooLarge, path: path, offset: source.offset, field: "\(source.key)",
                expected: "room for \(source.scratchByteCount) bytes", found: "\(scratch.count) bytes")
        }
        let stored = unsafe UnsafeMutableRawBufferPointer(rebasing: scratch[..<source.storedByteCount])
        try unsafe file.read(at: source.offset, into: stored, "\(source.key)")
        try unsafe decode(source, scratch: scratch, into: destination, verify: verify)
    }

    /// Makes an expert from what was read of it, its stored bytes, which begin `scratch`: unpacks it and puts its planes
    /// together.
    func decode(
        _ source: ExpertSource, scratch: UnsafeMutableRawBufferPointer, into destination: UnsafeMutableRawPointer,
        verify: Bool
    ) throws(ContainerError) {
        let blob = source.blob
        guard let refinement = source.refinement else {
            let stored = unsafe UnsafeRawBufferPointer(rebasing: scratch[..<blob.storedByteCount])
            if verify { try unsafe self.verify(stored, blob.checksum, at: blob.offset, "\(blob.key)") }
            return try unsafe unpack(stored, of: blob, into: destination)
        }
        let coarse = try unsafe plane(
            StoredPlane(
                name: "\(source.key)", offset: blob.offset, place: 0, storedByteCount: blob.storedByteCount,
                byteCount: blob.byteCount, codec: blob.codec, checksum: blob.checksum,
                unpackedPlace: source.unpackedBlobOffset), in: scratch, verify: verify)
        let fine = try unsafe plane(
            StoredPlane(
                name: refinement.name, offset: refinement.offset, place: Int(refinement.offset - blob.offset),
                storedByteCount: refinement.storedByteCount, byteCount: refinement.byteCount, codec: refinement.codec,
                checksum: refinement.checksum, unpackedPlace: source.unpackedRefinementOffset), in: scratch,
            verify: verify)
        unsafe blob.layout.refine(coarse, by: refinement.layout, fine, into: destination)
    }

    private struct StoredPlane {
        let name: String
        let offset: UInt64
        /// In the scratch.
        let place: Int
        let storedByteCount: Int
        let byteCount: Int
        let codec: Codec
        let checksum: UInt64
        /// In the scratch, if it is packed.
        let unpackedPlace: Int
    }

    /// The unpacked bytes of a plane.
    private func plane(
        _ plane: StoredPlane, in scratch: UnsafeMutableRawBufferPointer, verify: Bool
    ) throws(ContainerError) -> UnsafeRawPointer {
        let stored = unsafe UnsafeRawBufferPointer(
            rebasing: scratch[plane.place..<plane.place + plane.storedByteCount])
        if verify { try unsafe self.verify(stored, plane.checksum, at: plane.offset, plane.name) }
        guard let base = scratch.baseAddress else { preconditionFailure("the scratch was found large enough") }
        guard plane.codec == .lz4 else { return unsafe UnsafeRawPointer(base + plane.place) }
        let unpacked = unsafe UnsafeMutableRawBufferPointer(
            rebasing: scratch[plane.unpackedPlace..<plane.unpackedPlace + plane.byteCount])
        try unsafe unpack(stored, into: unpacked, at: plane.offset, plane.name)
        return unsafe UnsafeRawPointer(base + plane.unpackedPlace)
    }
}

extension ExpertLayout {
    /// Puts two planes together.
    ///
    /// - Parameters:
    ///   - coarse: a blob of this layout.
    ///   - plane: of `refinement`.
    ///   - destination: `refined(by: refinement).byteCount` bytes, all of which are written.
    package func refine(
        _ coarse: UnsafeRawPointer, by refinement: RefinementLayout, _ plane: UnsafeRawPointer,
        into destination: UnsafeMutableRawPointer
    ) {
        let fine = refined(by: refinement)
        let kernels = Kernels.best
        if refinement.refinesGateUp {
            let matrices = [(0, 0, 0), (upOffset, refinement.upOffset, fine.upOffset)].suffix(gateUpCount)
            for (offset, planeOffset, fineOffset) in matrices {
                unsafe kernels.refine(
                    gateShape, coarse: coarse + offset, coarseStride: gateUpStride, refinements: plane + planeOffset,
                    refinementStride: refinement.gateUpStride, into: destination + fineOffset,
                    fineStride: fine.gateUpStride)
            }
        } else {
            unsafe destination.copyMemory(from: coarse, byteCount: downOffset)
        }
        if refinement.refinesDown {
            unsafe kernels.refine(
                downShape, coarse: coarse + downOffset, coarseStride: downShape.strideByteCount,
                refinements: plane + refinement.downOffset, refinementStride: refinement.downStride,
                into: destination + fine.downOffset, fineStride: fine.downShape.strideByteCount)
        } else {
            unsafe (destination + fine.downOffset).copyMemory(
                from: coarse + downOffset, byteCount: downShape.byteCount)
        }
    }
}

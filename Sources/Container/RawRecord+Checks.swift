internal import Compute

extension RawRecord {
    /// Places of fields inside the record (`FORMAT.md`).
    static let offsetOffset: UInt64 = 32
    private static let rowsOffset: UInt64 = 16
    private static let storedByteCountOffset: UInt64 = 40
    private static let byteCountOffset: UInt64 = 48

    private func failure(
        _ code: ContainerError.Code, _ path: String, _ inside: UInt64, _ field: String, _ expected: String,
        _ found: String
    ) -> ContainerError {
        ContainerError(
            code, path: path, offset: place + inside, field: "\(name).\(field)", expected: expected, found: found)
    }

    /// The range of the stored bytes, which is aligned and lies between the superblock and the index.
    func range(index: Int, dataEnd: UInt64, path: String) throws(ContainerError) -> StoredRange {
        let alignment = kind == .tensor ? ContainerFormat.tensorAlignment : ContainerFormat.expertAlignment
        let start = UInt64(ContainerFormat.superblockByteCount)
        guard offset >= start, offset < dataEnd else {
            throw failure(.badRange, path, Self.offsetOffset, "offset", "\(start) to \(dataEnd)", "\(offset)")
        }
        guard offset % UInt64(alignment) == 0 else {
            throw failure(.badRange, path, Self.offsetOffset, "offset", "a multiple of \(alignment)", "\(offset)")
        }
        guard storedByteCount > 0, storedByteCount <= dataEnd - offset else {
            throw failure(
                .badRange, path, Self.storedByteCountOffset, "storedByteCount", "1 to \(dataEnd - offset)",
                "\(storedByteCount)")
        }
        return StoredRange(
            offset: offset, storedByteCount: storedByteCount, place: place, index: index, isExpert: kind != .tensor)
    }

    /// - Precondition: `range` passed.
    func tensor(_ requirement: TensorRequirement, path: String) throws(ContainerError) -> TensorRecord {
        guard expert == ContainerFormat.noNumber else {
            throw failure(.malformed, path, 8, "expert", "none", "\(expert)")
        }
        guard codec == .stored else {
            throw failure(.unsupported, path, 1, "codec", "\(Codec.stored.rawValue)", "\(codec.rawValue)")
        }
        guard rows == UInt64(requirement.rows), columns == UInt64(requirement.columns) else {
            throw failure(
                .wrongShape, path, Self.rowsOffset, "shape", "[\(requirement.rows), \(requirement.columns)]",
                "[\(rows), \(columns)]")
        }
        guard !requirement.mustBeF32 || format == .f32 else {
            throw failure(.wrongShape, path, 12, "format", "f32", "\(format)")
        }
        try checkTable(format, table, 13, path)
        try checkScales(format, scaleFormat, 15, path)
        let layout: MatrixLayout = requirement.isRowMajor ? .rows : .panels
        guard self.layout == layout else {
            throw failure(.wrongShape, path, 14, "layout", "\(layout)", self.layout.map { "\($0)" } ?? "none")
        }
        let shape = MatrixShape(
            rows: requirement.rows, columns: requirement.columns, format: format, layout: layout,
            scaleFormat: scaleFormat)
        let size = try checkedSize(shape, path)
        try checkSizes(size, stored: UInt64(size), path)
        return TensorRecord(
            key: requirement.key, shape: shape, table: table, offset: offset, byteCount: size, checksum: checksum)
    }

    /// - Precondition: `range` passed.
    func expert(
        _ key: ExpertKey, _ configuration: ModelConfiguration, path: String
    ) throws(ContainerError) -> ExpertRecord {
        let intermediateSize = configuration.experts?.intermediateSize ?? 0
        guard rows == UInt64(configuration.hiddenSize), columns == UInt64(intermediateSize) else {
            throw failure(
                .wrongShape, path, Self.rowsOffset, "shape", "[\(configuration.hiddenSize), \(intermediateSize)]",
                "[\(rows), \(columns)]")
        }
        guard let downFormat, let downTable, let downScaleFormat else {
            throw failure(.malformed, path, 14, "downFormat", "a format", "none")
        }
        try checkTable(format, table, 13, path)
        try checkTable(downFormat, downTable, 15, path)
        try checkScales(format, scaleFormat, 2, path)
        try checkScales(downFormat, downScaleFormat, 3, path)
        let layout = ExpertLayout(
            hiddenSize: configuration.hiddenSize, intermediateSize: intermediateSize, gateUpFormat: format,
            gateUpTable: table, downFormat: downFormat, downTable: downTable, gateUpScaleFormat: scaleFormat,
            downScaleFormat: downScaleFormat, isGated: configuration.activation.isGated)
        // Both are at most 2^20 by 2^20, so their sum fits.
        let size = try layout.gateUpCount * checkedSize(layout.gateShape, path) + checkedSize(layout.downShape, path)
        try checkPacking(size, path)
        return ExpertRecord(
            key: key, layout: layout, offset: offset, storedByteCount: Int(storedByteCount), byteCount: size,
            codec: codec, checksum: checksum)
    }

    /// - Precondition: `range` passed, and `expert` is what the record before gave.
    func refinement(of expert: ExpertRecord, path: String) throws(ContainerError) -> RefinementRecord {
        let layout = RefinementLayout(
            hiddenSize: expert.layout.hiddenSize, intermediateSize: expert.layout.intermediateSize,
            refinesGateUp: refined?.gateUp ?? false, refinesDown: refined?.down ?? false,
            isGated: expert.layout.isGated)
        guard rows == UInt64(layout.hiddenSize), columns == UInt64(layout.intermediateSize) else {
            throw failure(
                .wrongShape, path, Self.rowsOffset, "shape", "[\(layout.hiddenSize), \(layout.intermediateSize)]",
                "[\(rows), \(columns)]")
        }
        guard expert.layout.canBeRefined(by: layout) else {
            throw failure(
                .malformed, path, 12, "refinedFormat", "a format for matrices that are q4 with the table 1",
                "[\(layout.refinesGateUp), \(layout.refinesDown)]")
        }
        // No more than the blob, whose size passed.
        try checkPacking(layout.byteCount, path)
        let start = ContainerFormat.aligned(
            expert.offset + UInt64(expert.storedByteCount), to: ContainerFormat.expertAlignment)
        guard offset == start else {
            throw failure(.badRange, path, Self.offsetOffset, "offset", "\(start), behind the expert", "\(offset)")
        }
        return RefinementRecord(
            key: expert.key, layout: layout, offset: offset, storedByteCount: Int(storedByteCount),
            byteCount: layout.byteCount, codec: codec, checksum: checksum)
    }

    /// The stored and the unpacked length.
    private func checkPacking(_ size: Int, _ path: String) throws(ContainerError) {
        switch codec {
        case .stored:
            try checkSizes(size, stored: UInt64(size), path)
        case .lz4:
            guard size <= LZ4.inputByteLimit else {
                throw failure(.malformed, path, 1, "codec", "a blob small enough for LZ4", "\(size) bytes")
            }
            let least = UInt64(size / LZ4.greatestRatio)
            let most = UInt64(LZ4.longestPacked(size))
            guard storedByteCount >= least, storedByteCount <= most else {
                throw failure(
                    .malformed, path, Self.storedByteCountOffset, "storedByteCount", "\(least) to \(most)",
                    "\(storedByteCount)")
            }
            try checkSizes(size, stored: storedByteCount, path)
        }
    }

    private func checkTable(
        _ format: BlockFormat, _ table: CodeTable, _ inside: UInt64, _ path: String
    ) throws(ContainerError) {
        guard format == .q4 || table == .linear else {
            throw failure(.malformed, path, inside, "table", "0, for \(format) has none", "\(table.rawValue)")
        }
    }

    private func checkScales(
        _ format: BlockFormat, _ scales: ScaleFormat, _ inside: UInt64, _ path: String
    ) throws(ContainerError) {
        guard format.isQuantized || scales == .f16 else {
            throw failure(
                .malformed, path, inside, "scaleFormat", "0, for \(format) has no scales", "\(scales.rawValue)")
        }
    }

    /// The one way from a shape to a size.
    private func checkedSize(_ shape: MatrixShape, _ path: String) throws(ContainerError) -> Int {
        guard let size = shape.checkedByteCount else {
            throw failure(
                .wrongShape, path, Self.rowsOffset, "shape",
                "rows of \(shape.format) in groups of \(BlockFormat.groupSize)", "[\(shape.rows), \(shape.columns)]")
        }
        return size
    }

    private func checkSizes(_ size: Int, stored: UInt64, _ path: String) throws(ContainerError) {
        guard byteCount == UInt64(size) else {
            throw failure(.wrongShape, path, Self.byteCountOffset, "byteCount", "\(size)", "\(byteCount)")
        }
        guard storedByteCount == stored else {
            throw failure(
                .wrongShape, path, Self.storedByteCountOffset, "storedByteCount", "\(stored)", "\(storedByteCount)")
        }
    }
}

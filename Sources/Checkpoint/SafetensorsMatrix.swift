/// A tensor of a safetensors file, with the scales that its weights need.
struct SafetensorsMatrix: StoredMatrix {
    let name: String
    let rows: Int
    let columns: Int
    let file: SafetensorsFile
    let element: ElementType
    /// Bytes from the start of the file.
    let offset: Int
    let scale: Scale?
    /// The scales of packed 4-bit codes; `element` is then the type of the words that hold eight of them.
    let packedScale: PackedScale?

    func byteCount(ofRows count: Int) -> Int {
        count * columns * element.byteCount / (packedScale == nil ? 1 : Self.codesPerWord)
    }

    var files: [InputFile] { [file, scale?.file, packedScale?.file].compactMap { $0?.file } }

    /// The factors of an FP8 matrix: `w[r][c] = e4m3 · scale[r / blockRows][c / blockColumns]`, ragged at the edges.
    struct Scale: Sendable {
        let tensor: SafetensorsHeader.Tensor
        let file: SafetensorsFile
        let block: BlockScaling
        /// Factors in a row of blocks.
        let columns: Int
    }
}

extension SafetensorsMatrix {
    func readRows(
        _ range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        let start = offset + byteCount(ofRows: range.lowerBound)
        if let packedScale {
            try unsafe unpack(range, packedScale, into: destination)
        } else if element == .f32 {
            try unsafe file.file.read(into: UnsafeMutableRawBufferPointer(destination), at: start)
        } else {
            let raw = UnsafeMutableRawBufferPointer.allocate(
                byteCount: destination.count * element.byteCount, alignment: 64)
            defer { unsafe raw.deallocate() }
            try unsafe file.file.read(into: raw, at: start)
            unsafe FloatReading.convert(element, UnsafeRawBufferPointer(raw), into: destination)
        }
        if let scale { try unsafe multiply(destination, of: range, by: scale) }
        if let place = unsafe FloatReading.firstNotFinite(in: UnsafeBufferPointer(destination)) {
            let row = range.lowerBound + place / columns
            throw CheckpointError(
                .notFinite, "the weights have a value that isn't finite", path: file.path,
                offset: start + place * element.byteCount, tensor: name, expected: "finite numbers",
                found: "\(unsafe destination[place]) in row \(row), column \(place % columns)",
                advice: "The checkpoint is damaged; get the file again")
        }
    }

    private func multiply(
        _ values: UnsafeMutableBufferPointer<Float>, of range: Range<Int>, by scale: Scale
    ) throws(CheckpointError) {
        guard !range.isEmpty else { return }
        let block = scale.block
        let firstBlockRow = range.lowerBound / block.rows
        let blockRowCount = (range.upperBound - 1) / block.rows + 1 - firstBlockRow
        var part = scale.tensor
        let rowByteCount = scale.columns * part.element.byteCount
        part.offset += firstBlockRow * rowByteCount
        part.byteCount = blockRowCount * rowByteCount
        let factors = try scale.file.floats(of: part)
        for row in range {
            let rowFactors = (row / block.rows - firstBlockRow) * scale.columns
            let start = (row - range.lowerBound) * columns
            for blockColumn in 0..<scale.columns {
                let factor = factors[rowFactors + blockColumn]
                let first = blockColumn * block.columns
                for column in first..<min(first + block.columns, columns) {
                    unsafe values[start + column] *= factor
                }
            }
        }
    }
}

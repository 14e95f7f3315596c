/// A tensor of a safetensors file, with the scales that its weights need.
struct SafetensorsMatrix: StoredMatrix {
    let name: String
    let rows: Int
    let columns: Int
    let file: SafetensorsFile
    let element: ElementType
    /// Bytes from the start of the file.
    let offset: Int
    /// Elements from one row to the next, and from one column to the next.
    let rowStride: Int
    let columnStride: Int
    let scale: Scale?
    /// The scales of packed 4-bit codes; `element` is then the type of the words that hold them, two a byte.
    let packedScale: PackedScale?

    func byteCount(ofRows count: Int) -> Int {
        packedScale == nil ? count * columns * element.byteCount : count * columns / 2
    }

    /// Whether the rows follow one another without a gap.
    var isContiguous: Bool { columnStride == 1 && rowStride == columns }

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
        if let packedScale {
            try unsafe unpack(range, packedScale, into: destination)
        } else if element == .f32 {
            try unsafe readElements(range, into: UnsafeMutableRawBufferPointer(destination))
        } else {
            let raw = UnsafeMutableRawBufferPointer.allocate(
                byteCount: destination.count * element.byteCount, alignment: 64)
            defer { unsafe raw.deallocate() }
            try unsafe readElements(range, into: raw)
            unsafe FloatReading.convert(element, UnsafeRawBufferPointer(raw), into: destination)
        }
        if let scale { try unsafe multiply(destination, of: range, by: scale) }
        if let place = unsafe FloatReading.firstNotFinite(in: UnsafeBufferPointer(destination)) {
            let row = range.lowerBound + place / columns
            let element = row * rowStride + place % columns * columnStride
            let byte = packedScale == nil ? element * self.element.byteCount : element / 2
            throw CheckpointError(
                .notFinite, "the weights have a value that isn't finite", path: file.path,
                offset: offset + byte, tensor: name, expected: "finite numbers",
                found: "\(unsafe destination[place]) in row \(row), column \(place % columns)",
                advice: "The checkpoint is damaged; get the file again")
        }
    }

    /// Brings rows together that may stand apart: [range.count, columns] in `raw`.
    private func readElements(
        _ range: Range<Int>, into raw: UnsafeMutableRawBufferPointer
    ) throws(CheckpointError) {
        let size = element.byteCount
        guard !isContiguous else {
            return try unsafe file.file.read(into: raw, at: offset + range.lowerBound * rowStride * size)
        }
        // What is read at once lies in the direction in which the elements are nearer to each other.
        let goesByRow = columnStride <= rowStride
        let (lines, length) = goesByRow ? (range.count, columns) : (columns, range.count)
        let (lineStride, step) = goesByRow ? (rowStride, columnStride) : (columnStride, rowStride)
        let (targetLine, targetStep) = goesByRow ? (columns, 1) : (1, columns)
        guard length > 0 else { return }
        let line = UnsafeMutableRawBufferPointer.allocate(
            byteCount: ((length - 1) * step + 1) * size, alignment: 64)
        defer { unsafe line.deallocate() }
        for index in 0..<lines {
            try unsafe file.file.read(
                into: line, at: offset + (range.lowerBound * rowStride + index * lineStride) * size)
            for place in 0..<length {
                let from = place * step * size
                let source = unsafe UnsafeRawBufferPointer(rebasing: line[from..<from + size])
                let target = (index * targetLine + place * targetStep) * size
                unsafe UnsafeMutableRawBufferPointer(rebasing: raw[target..<target + size]).copyMemory(from: source)
            }
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

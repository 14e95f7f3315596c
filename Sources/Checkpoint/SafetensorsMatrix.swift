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
        if isTransposed {
            return try unsafe readTransposed([range], into: destination)
        }
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
        try unsafe checkFinite(destination, of: [range])
    }

    /// - Parameter ranges: the rows whose values these are.
    func checkFinite(
        _ values: UnsafeMutableBufferPointer<Float>, of ranges: [Range<Int>]
    ) throws(CheckpointError) {
        if let place = unsafe FloatReading.firstNotFinite(in: UnsafeBufferPointer(values)) {
            let row = Array(ranges.joined())[place / columns]
            let element = row * rowStride + place % columns * columnStride
            let byte = packedScale == nil ? element * self.element.byteCount : element / 2
            throw CheckpointError(
                .notFinite, "the weights have a value that isn't finite", path: file.path,
                offset: offset + byte, tensor: name, expected: "finite numbers",
                found: "\(unsafe values[place]) in row \(row), column \(place % columns)",
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
        let line = UnsafeMutableRawBufferPointer.allocate(
            byteCount: ((columns - 1) * columnStride + 1) * size, alignment: 64)
        defer { unsafe line.deallocate() }
        for row in range {
            try unsafe file.file.read(into: line, at: offset + row * rowStride * size)
            for column in 0..<columns {
                let from = column * columnStride * size
                let source = unsafe UnsafeRawBufferPointer(rebasing: line[from..<from + size])
                let target = ((row - range.lowerBound) * columns + column) * size
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

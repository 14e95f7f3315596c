import Compute
import Container

/// A matrix of a model in GGUF: rows of one tensor or of several, which may stand there in another order.
struct GGUFMatrix: StoredMatrix {
    let name: String
    let rows: Int
    let columns: Int
    /// From top to bottom.
    let parts: [Part]
    let importFormat: ImportFormat?

    struct Part: Sendable {
        let entry: GGUFModel.Entry
        /// Rows of the matrix.
        let rowCount: Int
        /// Of the tensor, whose rows are its innermost dimension.
        let firstRow: Int
        var order = Order.rows(step: 1)

        enum Order: Sendable, Equatable {
            /// Every so manyth row of the tensor.
            case rows(step: Int)
            /// The first columns of as many rows of the tensor as the matrix has columns.
            case columns
        }
    }

    init(name: String, rows: Int, columns: Int, parts: [Part]) {
        self.name = name
        self.rows = rows
        self.columns = columns
        self.parts = parts
        let isWhole = parts.allSatisfy { $0.order != .columns && $0.entry.tensor.type == parts[0].entry.tensor.type }
        importFormat = isWhole ? parts[0].entry.tensor.type.importFormat : nil
    }

    var files: [InputFile] {
        parts.reduce(into: []) { files, part in
            if !files.contains(where: { $0 === part.entry.file.file }) { files.append(part.entry.file.file) }
        }
    }

    /// Rows of several types count as if each had the average.
    func byteCount(ofRows count: Int) -> Int {
        let total = parts.reduce(0) { sum, part in
            let type = part.entry.tensor.type
            return sum + part.rowCount * columns * type.blockByteCount / type.blockLength
        }
        return total / rows * count
    }

    func readRows(
        _ range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        try forEachPart(of: range) { (part, rows, place) throws(CheckpointError) in
            let end = (place + rows.count) * columns
            let values = unsafe UnsafeMutableBufferPointer(rebasing: destination[place * columns..<end])
            try unsafe part.read(rows, columns: columns, into: values)
            if let found = unsafe FloatReading.firstNotFinite(in: UnsafeBufferPointer(values)) {
                throw part.notFinite(
                    "\(unsafe values[found])", "value", row: range.lowerBound + place + found / columns,
                    "column \(found % columns)")
            }
        }
    }

    func readPacked(
        _ range: Range<Int>, codes: UnsafeMutableBufferPointer<UInt8>, scales: UnsafeMutableBufferPointer<UInt16>
    ) throws(CheckpointError) {
        guard let scaleFormat = importFormat?.scaleFormat else { preconditionFailure("\(name) isn't packed") }
        let groups = columns / BlockFormat.groupSize
        try forEachPart(of: range) { (part, rows, place) throws(CheckpointError) in
            let type = part.entry.tensor.type
            let raw = UnsafeMutableRawBufferPointer.allocate(
                byteCount: rows.count * part.entry.tensor.rowByteCount, alignment: 64)
            defer { unsafe raw.deallocate() }
            try unsafe part.readRaw(rows, into: raw)
            let (first, count) = (place * groups, rows.count * groups)
            let partCodes = unsafe UnsafeMutableBufferPointer(
                rebasing: codes[first * BlockFormat.groupSize..<(first + count) * BlockFormat.groupSize])
            let partScales = unsafe UnsafeMutableBufferPointer(rebasing: scales[first..<first + count])
            unsafe type.unpack(UnsafeRawBufferPointer(raw), codes: partCodes, scales: partScales)
            for index in 0..<count {
                let scale = unsafe NumberFormat.float(scale: partScales[index], scaleFormat)
                guard scale.isFinite else {
                    throw part.notFinite(
                        "\(scale)", "scale", row: range.lowerBound + place + index / groups, "group \(index % groups)")
                }
            }
            // The container's codes are symmetric, and so are those of everything that writes this type.
            if type == .q8_0, let index = unsafe partCodes.firstIndex(of: 0x80) {
                throw CheckpointError(
                    .wrongTensor, "a code that \(type.name) doesn't use", path: part.entry.file.path,
                    offset: part.entry.tensor.offset, tensor: part.entry.tensor.name, expected: "-127 to 127",
                    found: "-128 in row \(range.lowerBound + place + index / columns), column \(index % columns)")
            }
        }
    }

    /// - Parameter body: gets a part, rows of its own, and where they belong, counted from the range's first.
    private func forEachPart(
        of range: Range<Int>, _ body: (Part, Range<Int>, Int) throws(CheckpointError) -> Void
    ) throws(CheckpointError) {
        var start = 0
        for part in parts {
            let rows = range.clamped(to: start..<start + part.rowCount)
            if !rows.isEmpty {
                try body(part, rows.lowerBound - start..<rows.upperBound - start, rows.lowerBound - range.lowerBound)
            }
            start += part.rowCount
        }
    }
}

extension GGUFMatrix.Part {
    fileprivate func read(
        _ rows: Range<Int>, columns: Int, into values: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        let tensor = entry.tensor
        switch order {
        case .rows(step: 1) where tensor.type == .f32:
            try unsafe readRaw(rows, into: UnsafeMutableRawBufferPointer(values))
        case .rows:
            let raw = UnsafeMutableRawBufferPointer.allocate(
                byteCount: rows.count * tensor.rowByteCount, alignment: 64)
            defer { unsafe raw.deallocate() }
            try unsafe readRaw(rows, into: raw)
            unsafe tensor.type.decode(UnsafeRawBufferPointer(raw), into: values)
        case .columns:
            let raw = UnsafeMutableRawBufferPointer.allocate(byteCount: columns * tensor.rowByteCount, alignment: 64)
            defer { unsafe raw.deallocate() }
            try unsafe entry.file.file.read(into: raw, at: tensor.offset + firstRow * tensor.rowByteCount)
            let width = tensor.dimensions[0]
            let turned = UnsafeMutableBufferPointer<Float>.allocate(capacity: columns * width)
            defer { unsafe turned.deallocate() }
            unsafe tensor.type.decode(UnsafeRawBufferPointer(raw), into: turned)
            for row in rows {
                for column in 0..<columns {
                    unsafe values[(row - rows.lowerBound) * columns + column] = turned[column * width + row]
                }
            }
        }
    }

    /// Rows as they are in the file, without those between them.
    fileprivate func readRaw(_ rows: Range<Int>, into raw: UnsafeMutableRawBufferPointer) throws(CheckpointError) {
        guard case .rows(let step) = order else { preconditionFailure("\(entry.tensor.name) is read by columns") }
        let length = entry.tensor.rowByteCount
        let place = entry.tensor.offset + (firstRow + rows.lowerBound * step) * length
        guard step > 1 else { return try unsafe entry.file.file.read(into: raw, at: place) }
        let span = UnsafeMutableRawBufferPointer.allocate(
            byteCount: ((rows.count - 1) * step + 1) * length, alignment: 64)
        defer { unsafe span.deallocate() }
        try unsafe entry.file.file.read(into: span, at: place)
        for row in 0..<rows.count {
            let source = unsafe UnsafeRawBufferPointer(rebasing: span[row * step * length..<(row * step + 1) * length])
            unsafe UnsafeMutableRawBufferPointer(rebasing: raw[row * length..<(row + 1) * length])
                .copyMemory(from: source)
        }
    }

    fileprivate func notFinite(_ value: String, _ what: String, row: Int, _ place: String) -> CheckpointError {
        CheckpointError(
            .notFinite, "the weights have a \(what) that isn't finite", path: entry.file.path,
            offset: entry.tensor.offset, tensor: entry.tensor.name, expected: "finite numbers",
            found: "\(value) in row \(row), \(place)", advice: "The file is damaged; get it again")
    }
}

/// The header of a safetensors file: eight bytes of length, then a JSON object of names, types, shapes and ranges.
package struct SafetensorsHeader: Sendable {
    package struct Tensor: Sendable, Equatable {
        package var name: String
        package var element: ElementType
        package var shape: [Int]
        /// Bytes from the start of the file.
        package var offset: Int
        package var byteCount: Int

        package var elementCount: Int { byteCount / element.byteCount }
    }

    /// In the order of their bytes.
    package var tensors: [Tensor]
    /// `__metadata__`: what the file's maker wanted to say.
    package var metadata: [String: String] = [:]
    /// Bytes before the first tensor's.
    package var byteCount: Int

    /// The format's own limit.
    package static let greatestByteCount = 100_000_000
    package static let greatestRank = 8

    /// Reads the length and bounds it by the format and by the file.
    static func jsonByteCount(of prefix: [UInt8], fileByteCount: Int, path: String) throws(CheckpointError) -> Int {
        guard prefix.count == 8 else {
            throw CheckpointError(
                .malformedHeader, "too short for a safetensors file", path: path, offset: 0,
                expected: "at least 8 bytes", found: "\(fileByteCount)")
        }
        let length = prefix.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let limit = min(greatestByteCount, fileByteCount - 8)
        guard length >= 2, length <= UInt64(max(limit, 0)) else {
            throw CheckpointError(
                .malformedHeader, "the header's length can't be right", path: path, offset: 0,
                expected: "2 to \(limit) bytes (the format allows \(greatestByteCount), the file has \(fileByteCount))",
                found: "\(length)", advice: "Is the file complete, and is it a safetensors file?")
        }
        return Int(length)
    }

    /// - Parameter json: the header's text, without the eight bytes of its length.
    package init(json: [UInt8], fileByteCount: Int, path: String) throws(CheckpointError) {
        byteCount = 8 + json.count
        tensors = []
        guard json.first == UInt8(ascii: "{") else {
            throw CheckpointError(
                .malformedHeader, "the header doesn't begin with '{'", path: path, offset: 8,
                found: json.first.map { "byte \($0)" } ?? "nothing")
        }
        var reader = EntryReader(path: path, dataOffset: byteCount, dataByteCount: fileByteCount - byteCount)
        var cursor = JSONCursor(json, path: path, fileOffset: 8)
        var tensors: [Tensor] = []
        var metadata: [String: String] = [:]
        try cursor.object { (cursor, name) throws(CheckpointError) in
            if name == "__metadata__" {
                try cursor.object { (cursor, key) throws(CheckpointError) in metadata[key] = try cursor.string() }
            } else {
                tensors.append(try reader.entry(name: name, at: &cursor))
            }
        }
        try cursor.end()
        tensors.sort { ($0.offset, $0.byteCount) < ($1.offset, $1.byteCount) }
        try reader.checkCover(tensors)
        self.tensors = tensors
        self.metadata = metadata
    }
}

/// Reads one tensor's description and bounds every number of it.
private struct EntryReader {
    let path: String
    let dataOffset: Int
    let dataByteCount: Int

    func failure(
        _ message: String, _ name: String?, at offset: Int, expected: String? = nil, found: String? = nil
    ) -> CheckpointError {
        CheckpointError(
            .malformedHeader, message, path: path, offset: offset, tensor: name.map { String($0.prefix(200)) },
            expected: expected, found: found)
    }

    mutating func entry(
        name: String, at cursor: inout JSONCursor
    ) throws(CheckpointError) -> SafetensorsHeader.Tensor {
        let position = 8 + cursor.position
        var element: ElementType?
        var shape: [Int]?
        var range: [Int]?
        let reader = self
        try cursor.object { (cursor, field) throws(CheckpointError) in
            switch field {
            case "dtype":
                let text = try cursor.string()
                element = ElementType(rawValue: text)
                if element == nil {
                    throw reader.failure(
                        "an element type that isn't known", name, at: position,
                        expected: ElementType.allCases.map(\.rawValue).joined(separator: ", "),
                        found: String(text.prefix(40)))
                }
            case "shape": shape = try reader.counts(&cursor, atMost: SafetensorsHeader.greatestRank, name, position)
            case "data_offsets": range = try reader.counts(&cursor, atMost: 2, name, position)
            default: _ = try cursor.value()
            }
        }
        guard let element, let shape, let range, range.count == 2 else {
            throw failure(
                "an incomplete description", name, at: position, expected: "dtype, shape and two data_offsets")
        }
        guard range[0] <= range[1], range[1] <= dataByteCount else {
            throw failure(
                "the data lie outside the file", name, at: position,
                expected: "a range within 0 ..< \(dataByteCount)", found: "\(range[0]) ..< \(range[1])")
        }
        var byteCount = element.byteCount
        for extent in shape {
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw failure("the shape overflows", name, at: position, found: "\(shape)") }
            byteCount = product
        }
        guard byteCount == range[1] - range[0] else {
            throw failure(
                "the shape doesn't fit the data", name, at: position,
                expected: "\(byteCount) bytes for \(element.rawValue) \(shape)", found: "\(range[1] - range[0])")
        }
        return .init(
            name: name, element: element, shape: shape, offset: dataOffset + range[0], byteCount: byteCount)
    }

    private func counts(
        _ cursor: inout JSONCursor, atMost limit: Int, _ name: String, _ position: Int
    ) throws(CheckpointError) -> [Int] {
        var counts: [Int] = []
        try cursor.array { (cursor) throws(CheckpointError) in
            counts.append(try cursor.count())
            if counts.count > limit { throw failure("more than \(limit) numbers in a list", name, at: position) }
        }
        return counts
    }

    /// The format wants every byte of the data to belong to exactly one tensor.
    func checkCover(_ tensors: [SafetensorsHeader.Tensor]) throws(CheckpointError) {
        var next = dataOffset
        for tensor in tensors {
            guard tensor.offset == next else {
                throw failure(
                    tensor.offset < next ? "the data overlap another tensor's" : "unused bytes before the data",
                    tensor.name, at: tensor.offset, expected: "data at byte \(next)", found: "\(tensor.offset)")
            }
            next += tensor.byteCount
        }
        guard next == dataOffset + dataByteCount else {
            throw failure(
                "the file doesn't end with the last tensor", nil, at: next, expected: "\(next) bytes",
                found: "\(dataOffset + dataByteCount)")
        }
    }
}

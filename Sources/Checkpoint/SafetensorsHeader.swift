import JSON

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
        let entries: [Entry]
        do {
            (entries, metadata) = try Self.entries(json)
        } catch {
            throw CheckpointError(error, path: path, fileOffset: 8)
        }
        let check = EntryCheck(path: path, dataOffset: byteCount, dataByteCount: fileByteCount - byteCount)
        tensors.reserveCapacity(entries.count)
        for entry in entries { tensors.append(try check.tensor(entry)) }
        tensors.sort { ($0.offset, $0.byteCount) < ($1.offset, $1.byteCount) }
        try check.checkCover(tensors)
    }

    /// What is said of one tensor.
    fileprivate struct Entry {
        var name: String
        /// Of the description in the header's text.
        var offset: Int
        var type: String?
        var shape: [Int]?
        var range: [Int]?
    }

    private static func entries(_ json: [UInt8]) throws(JSONError) -> ([Entry], metadata: [String: String]) {
        var entries: [Entry] = []
        var metadata: [String: String] = [:]
        var cursor = try JSONCursor(json, limits: JSONLimits(byteCount: greatestByteCount))
        try cursor.object { (cursor, name) throws(JSONError) in
            guard name != "__metadata__" else {
                return try cursor.object { (cursor, key) throws(JSONError) in metadata[key] = try cursor.string() }
            }
            var entry = Entry(name: name, offset: cursor.position)
            try cursor.object { (cursor, field) throws(JSONError) in
                switch field {
                case "dtype": entry.type = try cursor.string()
                case "shape": entry.shape = try cursor.counts(atMost: greatestRank)
                case "data_offsets": entry.range = try cursor.counts(atMost: 2)
                default: try cursor.skip()
                }
            }
            entries.append(entry)
        }
        try cursor.end()
        return (entries, metadata)
    }
}

extension JSONCursor {
    fileprivate mutating func counts(atMost limit: Int) throws(JSONError) -> [Int] {
        var counts: [Int] = []
        let start = position
        try array { (cursor) throws(JSONError) in
            counts.append(try cursor.count())
            guard counts.count <= limit else {
                throw JSONError(.mismatch, "more than \(limit) numbers in a list", offset: start)
            }
        }
        return counts
    }
}

/// Bounds every number of the tensors' descriptions.
private struct EntryCheck {
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

    func tensor(_ entry: SafetensorsHeader.Entry) throws(CheckpointError) -> SafetensorsHeader.Tensor {
        let place = 8 + entry.offset
        guard let type = entry.type, let shape = entry.shape, let range = entry.range, range.count == 2 else {
            throw failure(
                "an incomplete description", entry.name, at: place, expected: "dtype, shape and two data_offsets")
        }
        guard let element = ElementType(rawValue: type) else {
            throw failure(
                "an element type that isn't known", entry.name, at: place,
                expected: ElementType.allCases.map(\.rawValue).joined(separator: ", "), found: String(type.prefix(40)))
        }
        guard range[0] <= range[1], range[1] <= dataByteCount else {
            throw failure(
                "the data lie outside the file", entry.name, at: place,
                expected: "a range within 0 ..< \(dataByteCount)", found: "\(range[0]) ..< \(range[1])")
        }
        var byteCount = element.byteCount
        for extent in shape {
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw failure("the shape overflows", entry.name, at: place, found: "\(shape)") }
            byteCount = product
        }
        guard byteCount == range[1] - range[0] else {
            throw failure(
                "the shape doesn't fit the data", entry.name, at: place,
                expected: "\(byteCount) bytes for \(element.rawValue) \(shape)", found: "\(range[1] - range[0])")
        }
        return .init(
            name: entry.name, element: element, shape: shape, offset: dataOffset + range[0], byteCount: byteCount)
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

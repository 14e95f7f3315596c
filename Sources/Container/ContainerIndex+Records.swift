extension ContainerIndex {
    /// Reads the table side by side with the tensors and experts that the configuration asks for, in the same order.
    mutating func readRecords(
        _ reader: inout ByteReader, count: Int, dataEnd: UInt64
    ) throws(ContainerError) {
        let table = reader
        let configuration = metadata.configuration
        // Every layer has tensors of its own, so the table bounds what a configuration can make the walk do.
        let layers = configuration.storedLayers
        guard layers.count <= count else {
            throw ContainerError(
                .missing, path: reader.path, offset: reader.offset, field: "index.records",
                expected: "tensors of \(layers.count) layers", found: "\(count) records")
        }
        var walk = RecordWalk(reader: reader, count: count)
        var ranges: [StoredRange] = []
        ranges.reserveCapacity(count)

        tensors.reserveCapacity(min(count, configuration.tensorCount))
        for layer in -1..<layers.upperBound {
            for requirement in layer < 0 ? configuration.modelTensors : configuration.tensors(ofLayer: layer) {
                let raw = try walk.next(RecordOrder(requirement.key), name: "\(requirement.key)")
                ranges.append(try raw.range(index: ranges.count, dataEnd: dataEnd, path: reader.path))
                tensors[requirement.key] = try raw.tensor(requirement, path: reader.path)
            }
        }
        if let shape = configuration.experts {
            experts.reserveCapacity(count - ranges.count)
            for layer in layers where configuration.isSparse(layer) {
                for expert in 0..<shape.routedExpertCount {
                    let key = ExpertKey(layer: layer, expert: expert)
                    let raw = try walk.next(RecordOrder(key), name: "\(key)")
                    ranges.append(try raw.range(index: ranges.count, dataEnd: dataEnd, path: reader.path))
                    let record = try raw.expert(key, configuration, path: reader.path)
                    experts[key] = record
                    guard let raw = try walk.nextIfPresent(RecordOrder(refinementOf: key)) else { continue }
                    ranges.append(try raw.range(index: ranges.count, dataEnd: dataEnd, path: reader.path))
                    refinements[key] = try raw.refinement(of: record, path: reader.path)
                }
            }
        }
        try walk.finish()
        try Self.checkTiling(&ranges, dataEnd: dataEnd, table: table)
    }

    /// Tensors and blobs fill the file from the superblock to the index, with no more between them than alignment asks
    /// for. That excludes overlaps, and bytes that nobody accounts for.
    private static func checkTiling(
        _ ranges: inout [StoredRange], dataEnd: UInt64, table: ByteReader
    ) throws(ContainerError) {
        ranges.sort { $0.offset < $1.offset }
        var end = UInt64(ContainerFormat.superblockByteCount)
        var previous: StoredRange?
        for range in ranges {
            let expected = ContainerFormat.aligned(end, to: range.alignment)
            if range.offset != expected {
                let name = try table.record(at: range.index).name
                let before = try previous.map { range throws(ContainerError) in try table.record(at: range.index).name }
                throw ContainerError(
                    .badRange, path: table.path, offset: range.place + RawRecord.offsetOffset, field: "\(name).offset",
                    expected: "\(expected), after \(before ?? "the superblock")",
                    found: "\(range.offset)\(range.offset < end ? ", which overlaps" : "")")
            }
            end = range.offset + range.storedByteCount
            previous = range
        }
        let expected = ContainerFormat.aligned(end, to: ContainerFormat.indexAlignment)
        guard dataEnd == expected else {
            throw ContainerError(
                .badRange, path: table.path, offset: 24, field: "index.offset", expected: "\(expected)",
                found: "\(dataEnd)")
        }
    }
}

/// Where a record's bytes stand.
struct StoredRange {
    let offset: UInt64
    let storedByteCount: UInt64
    /// Of the record in the file.
    let place: UInt64
    let index: UInt32
    private let isExpert: Bool

    init(offset: UInt64, storedByteCount: UInt64, place: UInt64, index: Int, isExpert: Bool) {
        self.offset = offset
        self.storedByteCount = storedByteCount
        self.place = place
        self.index = UInt32(index)
        self.isExpert = isExpert
    }

    var alignment: Int { isExpert ? ContainerFormat.expertAlignment : ContainerFormat.tensorAlignment }
}

/// The table of records, one after the other, each compared with the one that has to come.
private struct RecordWalk {
    private var reader: ByteReader
    private var remaining: Int
    private var previous: RecordOrder?

    init(reader: ByteReader, count: Int) {
        self.reader = reader
        remaining = count
    }

    mutating func next(_ order: RecordOrder, name: @autoclosure () -> String) throws(ContainerError) -> RawRecord {
        guard remaining > 0 else {
            throw ContainerError(
                .missing, path: reader.path, offset: reader.offset, field: name(), expected: "a record of it",
                found: "the end of the index")
        }
        let raw = try RawRecord(reading: &reader)
        remaining -= 1
        guard raw.order == order else { throw wrong(raw, expected: name(), isLate: raw.order > order) }
        previous = order
        return raw
    }

    /// The next record, if it is that one.
    mutating func nextIfPresent(_ order: RecordOrder) throws(ContainerError) -> RawRecord? {
        guard remaining > 0 else { return nil }
        var ahead = reader
        let raw = try RawRecord(reading: &ahead)
        guard raw.order == order else { return nil }
        reader = ahead
        remaining -= 1
        previous = order
        return raw
    }

    mutating func finish() throws(ContainerError) {
        guard remaining > 0 else { return }
        let raw = try RawRecord(reading: &reader)
        throw wrong(raw, expected: "the end of the index", isLate: false)
    }

    private func wrong(_ raw: RawRecord, expected: String, isLate: Bool) -> ContainerError {
        let isRepeated = previous.map { raw.order <= $0 } ?? false
        let code: ContainerError.Code = isRepeated ? .duplicate : isLate ? .missing : .unexpected
        return ContainerError(
            code, path: reader.path, offset: raw.place, field: isLate ? expected : raw.name, expected: expected,
            found: raw.name)
    }
}

extension ByteReader {
    /// - Precondition: the reader stands before the table's first record.
    fileprivate func record(at index: UInt32) throws(ContainerError) -> RawRecord {
        var copy = self
        _ = try copy.readBytes(UInt64(index) * UInt64(ContainerFormat.recordByteCount), "index.records")
        return try RawRecord(reading: &copy)
    }
}

internal import Compute

/// An array of an unfinished container that is complete.
package enum ArrayRecord: Sendable, Equatable {
    case tensor(TensorRecord)
    case expert(ExpertRecord)
    case refinement(RefinementRecord)

    package var offset: UInt64 {
        switch self {
        case .tensor(let record): record.offset
        case .expert(let record): record.offset
        case .refinement(let record): record.offset
        }
    }

    package var storedByteCount: Int {
        switch self {
        case .tensor(let record): record.byteCount
        case .expert(let record): record.storedByteCount
        case .refinement(let record): record.storedByteCount
        }
    }

    package var checksum: UInt64 {
        switch self {
        case .tensor(let record): record.checksum
        case .expert(let record): record.checksum
        case .refinement(let record): record.checksum
        }
    }

    package var alignment: Int {
        switch self {
        case .tensor: ContainerFormat.tensorAlignment
        case .expert, .refinement: ContainerFormat.expertAlignment
        }
    }

    package var name: String {
        switch self {
        case .tensor(let record): "\(record.key)"
        case .expert(let record): "\(record.key)"
        case .refinement(let record): record.name
        }
    }
}

/// The sound part of a journal.
struct JournalContents {
    enum Content: Equatable {
        case array(ArrayRecord, note: [UInt8])
        case mark
        case note([UInt8])

        var record: ArrayRecord? {
            if case .array(let record, _) = self { record } else { nil }
        }
    }

    struct Entry {
        let content: Content
        /// Where it ends in the journal.
        let end: UInt64
        let checksum: UInt64
    }

    let identity: [UInt8]
    let headerEnd: UInt64
    let headerChecksum: UInt64
    /// Of the file as it is; entries that turn out not to hold are taken away at the end.
    var entries: [Entry]

    static func checksum(of bytes: ArraySlice<UInt8>, after previous: UInt64) -> UInt64 {
        var writer = ByteWriter()
        writer.append(previous)
        writer.append(contentsOf: bytes)
        return XXH3.hash(writer.bytes)
    }

    /// nil where there is no journal, or none whose header is whole: then nothing was recorded in it.
    init?(path: String) throws(ContainerError) {
        guard PartialFile.exists(path) else { return nil }
        let file = try PositionedFile.open(reading: path)
        let byteCount = try file.status().byteCount
        guard byteCount <= UInt64(WriterJournal.byteLimit) else {
            throw ContainerError(
                .tooLarge, path: path, field: "journal", expected: "at most \(WriterJournal.byteLimit) bytes",
                found: "\(byteCount) bytes")
        }
        try self.init(parsing: try file.readArray(at: 0, byteCount: Int(byteCount), "journal"), path: path)
    }

    init?(parsing bytes: [UInt8], path: String) throws(ContainerError) {
        var reader = ByteReader(bytes, path: path, fileOffset: 0)
        guard bytes.starts(with: WriterJournal.magic), bytes.count >= 16 else { return nil }
        _ = try reader.readBytes(UInt64(WriterJournal.magic.count), "magic")
        let version: UInt32 = try reader.read("version")
        guard version == WriterJournal.version else {
            throw ContainerError(
                .unsupported, path: path, offset: 8, field: "version", expected: "\(WriterJournal.version)",
                found: "\(version)", advice: "Go on with the version that began, or start over.")
        }
        let length: UInt32 = try reader.read("identity.byteCount")
        guard reader.remaining >= 8, Int(length) <= reader.remaining - 8 else { return nil }
        identity = Array(try reader.readBytes(UInt64(length), "identity"))
        let computed = XXH3.hash(Array(bytes[..<reader.position]))
        let stored: UInt64 = try reader.read("checksum")
        guard computed == stored else { return nil }
        headerEnd = reader.offset
        headerChecksum = stored
        entries = []
        while let entry = try Self.entry(&reader, bytes, after: entries.last?.checksum ?? stored) {
            entries.append(entry)
        }
    }

    /// nil at the end of what holds.
    private static func entry(
        _ reader: inout ByteReader, _ bytes: [UInt8], after previous: UInt64
    ) throws(ContainerError) -> Entry? {
        let start = reader.position
        guard reader.remaining >= 16 else { return nil }
        let length: UInt32 = try reader.read("entry.byteCount")
        let kind: UInt32 = try reader.read("entry.kind")
        guard length <= WriterJournal.payloadLimit, reader.remaining >= Int(length) + 8 else { return nil }
        let payload = Array(try reader.readBytes(UInt64(length), "entry"))
        let computed = checksum(of: bytes[start..<reader.position], after: previous)
        let stored: UInt64 = try reader.read("entry.checksum")
        guard computed == stored, let kind = WriterJournal.Kind(rawValue: kind),
            let content = try content(kind, payload, path: reader.path)
        else { return nil }
        return Entry(content: content, end: reader.offset, checksum: stored)
    }

    private static func content(
        _ kind: WriterJournal.Kind, _ payload: [UInt8], path: String
    ) throws(ContainerError) -> Content? {
        switch kind {
        case .mark: return .mark
        case .note: return .note(payload)
        case .array:
            guard payload.count >= ContainerFormat.recordByteCount else { return nil }
            var reader = ByteReader(payload, path: path, fileOffset: 0)
            guard let record = ArrayRecord(try RawRecord(reading: &reader)) else { return nil }
            return .array(record, note: Array(payload[reader.position...]))
        }
    }
}

extension ArrayRecord {
    /// nil for a record that no writer makes.
    fileprivate init?(_ raw: RawRecord) {
        guard let rows = Int(exactly: raw.rows), let columns = Int(exactly: raw.columns),
            let stored = Int(exactly: raw.storedByteCount), let byteCount = Int(exactly: raw.byteCount), stored > 0,
            raw.offset < 1 << 62, stored < 1 << 62
        else { return nil }
        switch raw.kind {
        case .tensor:
            guard let role = raw.role, let layout = raw.layout else { return nil }
            let shape = MatrixShape(
                rows: rows, columns: columns, format: raw.format, layout: layout, scaleFormat: raw.scaleFormat)
            guard shape.checkedByteCount == byteCount, stored == byteCount else { return nil }
            let layer = raw.layer == ContainerFormat.noNumber ? nil : Int(raw.layer)
            self = .tensor(
                TensorRecord(
                    key: TensorKey(role, layer: layer), shape: shape, table: raw.table, offset: raw.offset,
                    byteCount: byteCount, checksum: raw.checksum))
        case .expert:
            guard let downFormat = raw.downFormat, let downTable = raw.downTable,
                let downScaleFormat = raw.downScaleFormat
            else { return nil }
            var layout = ExpertLayout(
                hiddenSize: rows, intermediateSize: columns, gateUpFormat: raw.format, gateUpTable: raw.table,
                downFormat: downFormat, downTable: downTable, gateUpScaleFormat: raw.scaleFormat,
                downScaleFormat: downScaleFormat)
            guard layout.gateShape.checkedByteCount != nil, layout.downShape.checkedByteCount != nil else { return nil }
            // Only the length tells whether there is a gate.
            layout.isGated = layout.byteCount == byteCount
            guard layout.byteCount == byteCount else { return nil }
            self = .expert(
                ExpertRecord(
                    key: ExpertKey(layer: Int(raw.layer), expert: Int(raw.expert)), layout: layout,
                    offset: raw.offset, storedByteCount: stored, byteCount: byteCount, codec: raw.codec,
                    checksum: raw.checksum))
        case .refinement:
            guard let refined = raw.refined, rows <= 1 << 27, columns <= 1 << 27 else { return nil }
            let layouts = [true, false].map {
                RefinementLayout(
                    hiddenSize: rows, intermediateSize: columns, refinesGateUp: refined.gateUp,
                    refinesDown: refined.down, isGated: $0)
            }
            guard let layout = layouts.first(where: { $0.byteCount == byteCount }) else { return nil }
            self = .refinement(
                RefinementRecord(
                    key: ExpertKey(layer: Int(raw.layer), expert: Int(raw.expert)), layout: layout, offset: raw.offset,
                    storedByteCount: stored, byteCount: byteCount, codec: raw.codec, checksum: raw.checksum))
        }
    }
}

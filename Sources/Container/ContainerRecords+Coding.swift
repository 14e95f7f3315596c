internal import Compute

extension TensorRecord {
    func encode(into writer: inout ByteWriter) {
        writer.append(RecordKind.tensor.rawValue)
        writer.append(Codec.stored.rawValue)
        writer.append(key.role.rawValue)
        writer.append(key.layer.map(UInt32.init) ?? ContainerFormat.noNumber)
        writer.append(ContainerFormat.noNumber)
        writer.append(shape.format.rawValue)
        writer.append(table.rawValue)
        writer.append(shape.layout.rawValue)
        writer.append(shape.scaleFormat.rawValue)
        writer.append(UInt64(shape.rows))
        writer.append(UInt64(shape.columns))
        writer.append(offset)
        writer.append(UInt64(byteCount))
        writer.append(UInt64(byteCount))
        writer.append(checksum)
    }
}

extension ExpertRecord {
    func encode(into writer: inout ByteWriter) {
        writer.append(RecordKind.expert.rawValue)
        writer.append(codec.rawValue)
        writer.append(layout.gateUpScaleFormat.rawValue)
        writer.append(layout.downScaleFormat.rawValue)
        writer.append(UInt32(key.layer))
        writer.append(UInt32(key.expert))
        writer.append(layout.gateUpFormat.rawValue)
        writer.append(layout.gateUpTable.rawValue)
        writer.append(layout.downFormat.rawValue)
        writer.append(layout.downTable.rawValue)
        writer.append(UInt64(layout.hiddenSize))
        writer.append(UInt64(layout.intermediateSize))
        writer.append(offset)
        writer.append(UInt64(storedByteCount))
        writer.append(UInt64(byteCount))
        writer.append(checksum)
    }
}

extension RefinementRecord {
    func encode(into writer: inout ByteWriter) {
        writer.append(RecordKind.refinement.rawValue)
        writer.append(codec.rawValue)
        writer.append(UInt16(0))
        writer.append(UInt32(key.layer))
        writer.append(UInt32(key.expert))
        for isRefined in [layout.refinesGateUp, layout.refinesDown] {
            writer.append(isRefined ? BlockFormat.q8.rawValue : 0)
            writer.append(UInt8(0))
        }
        writer.append(UInt64(layout.hiddenSize))
        writer.append(UInt64(layout.intermediateSize))
        writer.append(offset)
        writer.append(UInt64(storedByteCount))
        writer.append(UInt64(byteCount))
        writer.append(checksum)
    }
}

/// A record's fields as they stand in the file; only kind, codec, formats, tables, layout and role are
/// known to be known.
struct RawRecord {
    /// Of the record in the file.
    let place: UInt64
    let kind: RecordKind
    let codec: Codec
    /// nil for an expert and its refinement.
    let role: TensorRole?
    let layer: UInt32
    let expert: UInt32
    /// A tensor's, or gate's and up's; of a refinement, what it refines.
    let format: BlockFormat
    let table: CodeTable
    /// nil for an expert and its refinement.
    let layout: MatrixLayout?
    let scaleFormat: ScaleFormat
    /// nil for a tensor and a refinement.
    let downFormat: BlockFormat?
    let downTable: CodeTable?
    let downScaleFormat: ScaleFormat?
    /// Which matrices a refinement is for; nil for other kinds.
    let refined: (gateUp: Bool, down: Bool)?
    let rows: UInt64
    let columns: UInt64
    let offset: UInt64
    let storedByteCount: UInt64
    let byteCount: UInt64
    let checksum: UInt64

    init(reading reader: inout ByteReader) throws(ContainerError) {
        place = reader.offset
        kind = try Self.known(&reader, "record.kind", RecordKind.init, "1 to 3")
        codec = try Self.known(&reader, "record.codec", Codec.init, "0 or 1")
        var gateUpScaleFormat: ScaleFormat?
        switch kind {
        case .tensor:
            role = try Self.known(&reader, "record.role", TensorRole.init, "a known role")
            downScaleFormat = nil
        case .expert:
            role = nil
            gateUpScaleFormat = try Self.known(&reader, "record.scaleFormat", ScaleFormat.init, "0 or 1")
            downScaleFormat = try Self.known(&reader, "record.downScaleFormat", ScaleFormat.init, "0 or 1")
        case .refinement:
            role = nil
            downScaleFormat = nil
            try reader.readZeros(2, "record.reserved")
        }
        layer = try reader.read("record.layer")
        expert = try reader.read("record.expert")
        if kind == .refinement {
            refined = (try Self.isRefined(&reader), try Self.isRefined(&reader))
            format = .q4
            table = .nonLinear
        } else {
            refined = nil
            format = try Self.known(&reader, "record.format", BlockFormat.init, "1 to 5")
            table = try Self.known(&reader, "record.table", CodeTable.init, "0 to 2")
        }
        switch kind {
        case .tensor:
            layout = try Self.known(&reader, "record.layout", MatrixLayout.init, "0 or 1")
            downFormat = nil
            downTable = nil
            scaleFormat = try Self.known(&reader, "record.scaleFormat", ScaleFormat.init, "0 or 1")
        case .expert:
            layout = nil
            downFormat = try Self.known(&reader, "record.downFormat", BlockFormat.init, "1 to 5")
            downTable = try Self.known(&reader, "record.downTable", CodeTable.init, "0 to 2")
            scaleFormat = gateUpScaleFormat ?? .f16
        case .refinement:
            layout = nil
            downFormat = nil
            downTable = nil
            scaleFormat = .f16
        }
        rows = try reader.read("record.rows")
        columns = try reader.read("record.columns")
        offset = try reader.read("record.offset")
        storedByteCount = try reader.read("record.storedByteCount")
        byteCount = try reader.read("record.byteCount")
        checksum = try reader.read("record.checksum")
    }

    /// The format that a refinement makes of some matrices, and a byte of nothing; no format where it leaves them alone.
    private static func isRefined(_ reader: inout ByteReader) throws(ContainerError) -> Bool {
        let refined = try known(
            &reader, "record.refinedFormat", { (raw: UInt8) in [0: false, BlockFormat.q8.rawValue: true][raw] },
            "0 or \(BlockFormat.q8.rawValue)")
        try reader.readZeros(1, "record.reserved")
        return refined
    }

    private static func known<Raw: FixedWidthInteger & UnsignedInteger, Value>(
        _ reader: inout ByteReader, _ field: String, _ make: (Raw) -> Value?, _ expected: String
    ) throws(ContainerError) -> Value {
        let place = reader.offset
        let raw: Raw = try reader.read(field)
        guard let value = make(raw) else {
            throw ContainerError(
                .unsupported, path: reader.path, offset: place, field: field, expected: expected, found: "\(raw)")
        }
        return value
    }

    /// For messages.
    var name: String {
        let layer = layer == ContainerFormat.noNumber ? "" : "layers.\(layer)."
        return role.map { layer + $0.name }
            ?? "\(layer)experts.\(expert)" + (kind == .refinement ? ".refinement" : "")
    }

    /// The index is sorted by this: the model's tensors, each layer's, then the experts by layer, each before its refinement.
    var order: RecordOrder {
        switch kind {
        case .tensor:
            RecordOrder(
                major: layer == ContainerFormat.noNumber ? 0 : UInt64(layer) + 1, minor: UInt64(role?.rawValue ?? 0))
        case .expert, .refinement:
            RecordOrder(major: 1 << 33 | UInt64(layer), minor: UInt64(expert) << 1 | (kind == .refinement ? 1 : 0))
        }
    }
}

struct RecordOrder: Comparable {
    let major: UInt64
    let minor: UInt64

    init(major: UInt64, minor: UInt64) {
        self.major = major
        self.minor = minor
    }

    init(_ key: TensorKey) {
        self.init(major: key.layer.map { UInt64($0) + 1 } ?? 0, minor: UInt64(key.role.rawValue))
    }

    init(_ key: ExpertKey) { self.init(major: 1 << 33 | UInt64(key.layer), minor: UInt64(key.expert) << 1) }

    init(refinementOf key: ExpertKey) {
        self.init(major: 1 << 33 | UInt64(key.layer), minor: UInt64(key.expert) << 1 | 1)
    }

    static func < (left: Self, right: Self) -> Bool { (left.major, left.minor) < (right.major, right.minor) }
}

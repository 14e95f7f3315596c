/// Everything that a container says of its contents.
struct ContainerIndex {
    var metadata: ModelMetadata
    var text: TextAssets
    var tensors: [TensorKey: TensorRecord]
    var experts: [ExpertKey: ExpertRecord]
    var refinements: [ExpertKey: RefinementRecord] = [:]

    /// The bytes of the index.
    func encoded(path: String) throws(ContainerError) -> [UInt8] {
        let sections = [
            try metadata.encoded(path: path), text.tokenizerJSON ?? [], text.tokenizerConfigJSON ?? [],
            Array((text.chatTemplate ?? "").utf8),
        ]
        var writer = ByteWriter()
        for section in sections { writer.append(UInt64(section.count)) }
        writer.append(UInt64(tensors.count + experts.count + refinements.count))
        writer.append(UInt32(ContainerFormat.recordByteCount))
        writer.appendZeros(upTo: ContainerFormat.indexHeaderByteCount)
        for section in sections {
            writer.append(contentsOf: section)
            writer.pad(to: ContainerFormat.indexSectionAlignment)
        }
        for record in tensors.values.sorted(by: { RecordOrder($0.key) < RecordOrder($1.key) }) {
            record.encode(into: &writer)
        }
        for record in experts.values.sorted(by: { RecordOrder($0.key) < RecordOrder($1.key) }) {
            record.encode(into: &writer)
            refinements[record.key]?.encode(into: &writer)
        }
        guard writer.bytes.count <= ContainerFormat.indexByteLimit else {
            throw ContainerError(
                .tooLarge, path: path, field: "index", expected: "at most \(ContainerFormat.indexByteLimit) bytes",
                found: "\(writer.bytes.count) bytes")
        }
        return writer.bytes
    }
}

extension ContainerIndex {
    /// Checks everything that can be checked without reading tensors and blobs.
    ///
    /// Memory beyond `bytes` is at most seven times as much plus what decoding the metadata takes (below 64 MiB): each
    /// count is compared with the bytes that are there before anything is made for it.
    ///
    /// - Parameter fileOffset: the place of the index, which is where tensors and blobs end.
    init(parsing bytes: [UInt8], path: String, fileOffset: UInt64) throws(ContainerError) {
        var reader = ByteReader(bytes, path: path, fileOffset: fileOffset)
        var sizes: [UInt64] = []
        for field in ["metadata", "tokenizer", "tokenizerConfig", "chatTemplate"] {
            sizes.append(try reader.read("index.\(field).byteCount"))
        }
        let recordCount: UInt64 = try reader.read("index.recordCount")
        let recordSize: UInt32 = try reader.read("index.recordByteCount")
        guard recordSize == ContainerFormat.recordByteCount else {
            throw ContainerError(
                .unsupported, path: path, offset: reader.offset - 4, field: "index.recordByteCount",
                expected: "\(ContainerFormat.recordByteCount)", found: "\(recordSize)")
        }
        try reader.readZeros(ContainerFormat.indexHeaderByteCount - 44, "index.reserved")

        let metadataOffset = reader.offset
        metadata = try ModelMetadata(
            parsing: try Self.section(&reader, sizes[0], "metadata"), path: path, offset: metadataOffset)
        let tokenizer = try Self.section(&reader, sizes[1], "tokenizer")
        let tokenizerConfig = try Self.section(&reader, sizes[2], "tokenizerConfig")
        let templateOffset = reader.offset
        let template = try Self.section(&reader, sizes[3], "chatTemplate")
        text = TextAssets(
            tokenizerJSON: tokenizer.isEmpty ? nil : Array(tokenizer),
            tokenizerConfigJSON: tokenizerConfig.isEmpty ? nil : Array(tokenizerConfig))
        if !template.isEmpty {
            guard let template = String(validating: template, as: UTF8.self) else {
                throw ContainerError(
                    .malformed, path: path, offset: templateOffset, field: "chatTemplate", expected: "UTF-8",
                    found: "something else")
            }
            text.chatTemplate = template
        }

        // Exact, so nothing hides behind the table; and a product would overflow, a quotient can't.
        let (quotient, remainder) = reader.remaining.quotientAndRemainder(dividingBy: ContainerFormat.recordByteCount)
        guard recordCount == UInt64(quotient), remainder == 0 else {
            throw ContainerError(
                .malformed, path: path, offset: fileOffset + 32, field: "index.recordCount",
                expected: "as many as fill the remaining \(reader.remaining) bytes", found: "\(recordCount)")
        }
        tensors = [:]
        experts = [:]
        refinements = [:]
        try readRecords(&reader, count: quotient, dataEnd: fileOffset)
    }

    private static func section(
        _ reader: inout ByteReader, _ byteCount: UInt64, _ name: String
    ) throws(ContainerError) -> ArraySlice<UInt8> {
        let bytes = try reader.readBytes(byteCount, name)
        try reader.skipPadding(to: ContainerFormat.indexSectionAlignment, "\(name).padding")
        return bytes
    }
}

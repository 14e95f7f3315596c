/// The open files of a checkpoint's weights, and what each tensor's name stands for.
struct WeightFiles: WeightSource {
    struct Entry {
        let file: SafetensorsFile
        let tensor: SafetensorsHeader.Tensor
    }

    private(set) var files: [SafetensorsFile] = []
    private(set) var entries: [String: Entry] = [:]
    private let directory: String

    init(directory: String) throws(CheckpointError) {
        self.directory = directory
        let index = try ShardIndex(directory: directory)
        for shard in index.shards { try open(shard, index) }
        if let listed = index.shardOfTensor, let missing = listed.keys.filter({ entries[$0] == nil }).min() {
            throw CheckpointError(
                .missingTensor, "the index lists this tensor, and its file doesn't have it",
                path: "\(directory)/\(listed[missing] ?? "")", tensor: missing)
        }
    }

    private mutating func open(_ shard: String, _ index: ShardIndex) throws(CheckpointError) {
        let file = try SafetensorsFile(path: "\(directory)/\(shard)")
        files.append(file)
        for tensor in file.header.tensors {
            if let listed = index.shardOfTensor, listed[tensor.name] != shard {
                throw CheckpointError(
                    .malformedIndex, "the index doesn't list this tensor for this file", path: file.path,
                    offset: tensor.offset, tensor: tensor.name,
                    expected: listed[tensor.name] ?? "an entry in the index",
                    found: shard)
            }
            entries[tensor.name] = Entry(file: file, tensor: tensor)
        }
    }

    var listed: [ListedTensor] {
        entries.values.map { entry in
            ListedTensor(
                name: entry.tensor.name, path: entry.file.path, offset: entry.tensor.offset,
                byteCount: entry.tensor.byteCount, form: "\(entry.tensor.element.rawValue) \(entry.tensor.shape)")
        }
    }

    func matrix(
        _ name: String, _ part: TensorPart?, rows: Int, columns: Int, isVector: Bool, encoding: WeightEncoding?,
        used: inout Set<String>
    ) throws(CheckpointError) -> SourceMatrix {
        let place =
            part
            ?? TensorPart(
                shape: isVector ? [columns] : [rows, columns], first: 0, rowStride: columns, columnStride: 1)
        if encoding == .mxfp4, !isVector, entries[name] == nil, entries[name + Self.blocksSuffix] != nil {
            return try microscaledMatrix(name, place, rows: rows, columns: columns, used: &used)
        }
        if encoding == .packedIntegers, !isVector, entries[name] == nil, entries[name + Self.packedSuffix] != nil {
            return try packedMatrix(name, rows: rows, columns: columns, used: &used)
        }
        let entry = try find(name)
        let tensor = entry.tensor
        guard tensor.shape == place.shape else {
            throw CheckpointError(
                .wrongTensor, "the shape isn't the one that config.json calls for", path: entry.file.path,
                offset: tensor.offset, tensor: name, expected: "\(place.shape)", found: "\(tensor.shape)")
        }
        used.insert(name)
        var scale: SafetensorsMatrix.Scale?
        if tensor.element == .f8e4m3, !isVector, part == nil, case .scaledBlocks(let scaling) = encoding {
            scale = try self.scale(of: name, rows: rows, columns: columns, scaling)
            used.insert(name + Self.scaleSuffix)
        } else if !tensor.element.isPlainFloat {
            throw CheckpointError(
                .wrongTensor, "weights of this type can't be read", path: entry.file.path, offset: tensor.offset,
                tensor: name,
                expected: encoding == nil
                    ? "BF16, F16 or F32 (F8_E4M3 needs quantization_config in config.json)"
                    : "BF16, F16, F32 or what quantization_config says", found: tensor.element.rawValue)
        }
        return SourceMatrix(
            SafetensorsMatrix(
                name: name, rows: rows, columns: columns, file: entry.file, element: tensor.element,
                offset: tensor.offset + place.first * tensor.element.byteCount, rowStride: place.rowStride,
                columnStride: place.columnStride, scale: scale, packedScale: nil))
    }

    func isCopy(_ name: String, of original: String) throws(CheckpointError) -> Bool {
        guard let copy = entries[name], let own = entries[original], copy.tensor.element == own.tensor.element,
            copy.tensor.shape == own.tensor.shape
        else { return false }
        return try copy.file.file.hasBytes(
            copy.tensor.byteCount, at: copy.tensor.offset, of: own.file.file, at: own.tensor.offset)
    }

    private static let scaleSuffix = "_scale_inv"

    private func scale(
        of name: String, rows: Int, columns: Int, _ scaling: BlockScaling
    ) throws(CheckpointError) -> SafetensorsMatrix.Scale {
        let entry = try find(name + Self.scaleSuffix)
        let shape = [(rows + scaling.rows - 1) / scaling.rows, (columns + scaling.columns - 1) / scaling.columns]
        guard entry.tensor.shape == shape, entry.tensor.element.isPlainFloat else {
            throw CheckpointError(
                .wrongTensor, "these scales don't fit their weights", path: entry.file.path,
                offset: entry.tensor.offset,
                tensor: entry.tensor.name, expected: "F32 \(shape)",
                found: "\(entry.tensor.element.rawValue) \(entry.tensor.shape)")
        }
        return SafetensorsMatrix.Scale(tensor: entry.tensor, file: entry.file, block: scaling, columns: shape[1])
    }

    private static let packedSuffix = "_packed"

    private func packedMatrix(
        _ name: String, rows: Int, columns: Int, used: inout Set<String>
    ) throws(CheckpointError) -> SourceMatrix {
        let codes = try find(name + Self.packedSuffix)
        let scale = try find(name + "_scale")
        let shape = try find(name + "_shape")
        guard columns.isMultiple(of: SafetensorsMatrix.packedGroupSize), codes.tensor.element == .i32,
            codes.tensor.shape == [rows, columns / 8]
        else {
            throw CheckpointError(
                .wrongTensor, "these packed codes don't fit their matrix", path: codes.file.path,
                offset: codes.tensor.offset, tensor: codes.tensor.name,
                expected: "I32 \([rows, columns / 8]), eight codes a word in whole groups of 32",
                found: "\(codes.tensor.element.rawValue) \(codes.tensor.shape)")
        }
        let scaleShape = [rows, columns / SafetensorsMatrix.packedGroupSize]
        guard scale.tensor.shape == scaleShape, scale.tensor.element.isPlainFloat else {
            throw CheckpointError(
                .wrongTensor, "these scales don't fit their weights", path: scale.file.path,
                offset: scale.tensor.offset, tensor: scale.tensor.name, expected: "BF16, F16 or F32 \(scaleShape)",
                found: "\(scale.tensor.element.rawValue) \(scale.tensor.shape)")
        }
        let stated = shape.tensor.elementCount == 2 ? try shape.file.integers(of: shape.tensor) : []
        guard stated == [rows, columns] else {
            throw CheckpointError(
                .wrongTensor, "the shape isn't the one that config.json calls for", path: shape.file.path,
                offset: shape.tensor.offset, tensor: shape.tensor.name, expected: "\([rows, columns])",
                found: stated.isEmpty ? "\(shape.tensor.elementCount) numbers" : "\(stated)")
        }
        for entry in [codes, scale, shape] { used.insert(entry.tensor.name) }
        return SourceMatrix(
            SafetensorsMatrix(
                name: name, rows: rows, columns: columns, file: codes.file, element: codes.tensor.element,
                offset: codes.tensor.offset, rowStride: columns, columnStride: 1, scale: nil,
                packedScale: .init(kind: .excess8, tensor: scale.tensor, file: scale.file)))
    }

    private static let blocksSuffix = "_blocks"

    /// - Parameter place: in a tensor of single weights, [experts, rows, columns].
    private func microscaledMatrix(
        _ name: String, _ place: TensorPart, rows: Int, columns: Int, used: inout Set<String>
    ) throws(CheckpointError) -> SourceMatrix {
        let codes = try find(name + Self.blocksSuffix)
        let scale = try find(name + "_scales")
        let group = SafetensorsMatrix.packedGroupSize
        let scaleShape = Array(place.shape.dropLast()) + [columns / group]
        for (entry, shape) in [(codes, scaleShape + [group / 2]), (scale, scaleShape)] {
            guard columns.isMultiple(of: group), entry.tensor.element == .u8, entry.tensor.shape == shape else {
                throw CheckpointError(
                    .wrongTensor, "these blocks or scales aren't the ones that config.json calls for",
                    path: entry.file.path, offset: entry.tensor.offset, tensor: entry.tensor.name,
                    expected: "U8 \(shape), in whole groups of \(group)",
                    found: "\(entry.tensor.element.rawValue) \(entry.tensor.shape)")
            }
            used.insert(entry.tensor.name)
        }
        // Rows of whole groups: first and rowStride are multiples of 32.
        var scales = scale.tensor
        scales.offset += place.first / group
        return SourceMatrix(
            SafetensorsMatrix(
                name: name, rows: rows, columns: columns, file: codes.file, element: codes.tensor.element,
                offset: codes.tensor.offset + place.first / 2, rowStride: place.rowStride, columnStride: 1, scale: nil,
                packedScale: .init(kind: .e2m1, tensor: scales, file: scale.file)))
    }

    private func find(_ name: String) throws(CheckpointError) -> Entry {
        guard let entry = entries[name] else {
            throw CheckpointError(
                .missingTensor, "the model needs this tensor, and the checkpoint doesn't have it", path: directory,
                tensor: name, advice: "Is the download complete?")
        }
        return entry
    }
}

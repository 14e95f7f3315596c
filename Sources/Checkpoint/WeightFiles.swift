/// The open files of a checkpoint's weights, and what each tensor's name stands for.
struct WeightFiles {
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

    /// - Parameter isVector: whether the shape must be `[columns]` and not `[rows, columns]`.
    func matrix(
        _ name: String, rows: Int, columns: Int, isVector: Bool, scaling: BlockScaling?, used: inout Set<String>
    ) throws(CheckpointError) -> SourceMatrix {
        let entry = try find(name)
        let tensor = entry.tensor
        let shape = isVector ? [columns] : [rows, columns]
        guard tensor.shape == shape else {
            throw CheckpointError(
                .wrongTensor, "the shape isn't the one that config.json calls for", path: entry.file.path,
                offset: tensor.offset, tensor: name, expected: "\(shape)", found: "\(tensor.shape)")
        }
        used.insert(name)
        var scale: SourceMatrix.Scale?
        if tensor.element == .f8e4m3, !isVector, let scaling {
            scale = try self.scale(of: name, rows: rows, columns: columns, scaling)
            used.insert(name + Self.scaleSuffix)
        } else if !tensor.element.isPlainFloat {
            throw CheckpointError(
                .wrongTensor, "weights of this type can't be read", path: entry.file.path, offset: tensor.offset,
                tensor: name,
                expected: scaling == nil
                    ? "BF16, F16 or F32 (F8_E4M3 needs quantization_config in config.json)"
                    : "BF16, F16, F32 or F8_E4M3", found: tensor.element.rawValue)
        }
        return SourceMatrix(
            name: name, rows: rows, columns: columns, file: entry.file, element: tensor.element, offset: tensor.offset,
            scale: scale)
    }

    private static let scaleSuffix = "_scale_inv"

    private func scale(
        of name: String, rows: Int, columns: Int, _ scaling: BlockScaling
    ) throws(CheckpointError) -> SourceMatrix.Scale {
        let entry = try find(name + Self.scaleSuffix)
        let shape = [(rows + scaling.rows - 1) / scaling.rows, (columns + scaling.columns - 1) / scaling.columns]
        guard entry.tensor.shape == shape, entry.tensor.element.isPlainFloat else {
            throw CheckpointError(
                .wrongTensor, "these scales don't fit their weights", path: entry.file.path,
                offset: entry.tensor.offset,
                tensor: entry.tensor.name, expected: "F32 \(shape)",
                found: "\(entry.tensor.element.rawValue) \(entry.tensor.shape)")
        }
        return SourceMatrix.Scale(tensor: entry.tensor, file: entry.file, block: scaling, columns: shape[1])
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

import Container

/// Finds a model's matrices in GGUF files, which have experts in stacks and some matrices taken apart or reordered.
struct GGUFWeights: WeightSource {
    private let model: GGUFModel
    private let configuration: ModelConfiguration
    /// Whether the two halves of each rotated head alternate in the rows of queries and keys.
    private let alternatesHalves: Bool

    init(_ model: GGUFModel, _ configuration: ModelConfiguration, alternatesHalves: Bool) {
        self.model = model
        self.configuration = configuration
        self.alternatesHalves = alternatesHalves
    }

    var listed: [ListedTensor] {
        // The configuration has what the factors say.
        model.entries.values.filter { $0.tensor.name != GGUFNames.frequencyFactors }.map { entry in
            ListedTensor(
                name: entry.tensor.name, path: entry.file.path, offset: entry.tensor.offset,
                byteCount: entry.tensor.byteCount, form: "\(entry.tensor.type.name) \(entry.tensor.dimensions)")
        }
    }

    func matrix(
        _ name: String, _ part: TensorPart?, rows: Int, columns: Int, isVector: Bool, encoding: WeightEncoding?,
        used: inout Set<String>
    ) throws(CheckpointError) -> SourceMatrix {
        guard part == nil else {
            throw CheckpointError(
                .unsupportedFamily, "experts that share a tensor can't be read from GGUF", tensor: name,
                advice: "Convert the published safetensors files")
        }
        let parts: [GGUFMatrix.Part]
        if let entry = model.entries[name] {
            try check(entry, isVector ? [columns] : [columns, rows])
            parts = rowParts(entry, name, rows)
            if name.hasSuffix(Self.joined) { Self.split(name).forEach { used.insert($0) } }
        } else if let expert = GGUFNames.expert(named: name) {
            parts = [try expertPart(expert.part, expert.key, rows: rows, columns: columns)]
        } else if name.hasSuffix(Self.joined), case .latent(let attention) = configuration.attention {
            parts = try joinedParts(name, attention)
        } else {
            throw missing(name)
        }
        for part in parts { used.insert(part.entry.tensor.name) }
        return SourceMatrix(GGUFMatrix(name: name, rows: rows, columns: columns, parts: parts))
    }

    func isCopy(_ name: String, of original: String) throws(CheckpointError) -> Bool {
        guard let copy = model.entries[name], let own = model.entries[original], copy.tensor.type == own.tensor.type,
            copy.tensor.dimensions == own.tensor.dimensions
        else { return false }
        return try copy.file.file.hasBytes(
            copy.tensor.byteCount, at: copy.tensor.offset, of: own.file.file, at: own.tensor.offset)
    }

    /// A head's rows are stored in the order 0, d/2, 1, d/2 + 1, … where rotation takes neighbours.
    private func rowParts(_ entry: GGUFModel.Entry, _ name: String, _ rows: Int) -> [GGUFMatrix.Part] {
        guard alternatesHalves, name.hasSuffix(".attn_q.weight") || name.hasSuffix(".attn_k.weight"),
            case .grouped(let attention) = configuration.attention
        else { return [GGUFMatrix.Part(entry: entry, rowCount: rows, firstRow: 0)] }
        let half = attention.headSize / 2
        return stride(from: 0, to: rows, by: attention.headSize).flatMap { head in
            (0..<2).map { GGUFMatrix.Part(entry: entry, rowCount: half, firstRow: head + $0, order: .rows(step: 2)) }
        }
    }

    /// One expert of a layer's stack, [columns, rows, experts], in which gate and up may be one above the other.
    private func expertPart(
        _ part: ExpertPart, _ key: ExpertKey, rows: Int, columns: Int
    ) throws(CheckpointError) -> GGUFMatrix.Part {
        let prefix = GGUFNames.prefix(ofLayer: key.layer)
        let name = "\(prefix)ffn_\(part.rawValue)_exps.weight"
        let count = configuration.experts?.routedExpertCount ?? 0
        if part != .down, model.entries[name] == nil, let fused = model.entries["\(prefix)ffn_gate_up_exps.weight"] {
            try check(fused, [columns, 2 * rows, count])
            return GGUFMatrix.Part(
                entry: fused, rowCount: rows, firstRow: (2 * key.expert + (part == .up ? 1 : 0)) * rows)
        }
        guard let stack = model.entries[name] else { throw missing(name) }
        try check(stack, [columns, rows, count])
        return GGUFMatrix.Part(entry: stack, rowCount: rows, firstRow: key.expert * rows)
    }

    private static let joined = ".attn_kv_b.weight"

    /// What kv_b is split into.
    private static func split(_ name: String) -> [String] {
        let prefix = name.dropLast(joined.count)
        return ["\(prefix).attn_k_b.weight", "\(prefix).attn_v_b.weight"]
    }

    /// kv_b from the keys' part, turned by heads, [plain, latent, heads], and the values', [latent, value, heads].
    private func joinedParts(
        _ name: String, _ attention: ModelConfiguration.LatentAttention
    ) throws(CheckpointError) -> [GGUFMatrix.Part] {
        let names = Self.split(name)
        guard let keys = model.entries[names[0]] else { throw missing(name) }
        guard let values = model.entries[names[1]] else { throw missing(names[1]) }
        let (plain, latent, value) = (
            attention.plainHeadSize, attention.keyValueLatentRank, attention.valueHeadSize
        )
        try check(keys, [plain, latent, attention.headCount], joinsRows: true)
        try check(values, [latent, value, attention.headCount], joinsRows: true)
        return (0..<attention.headCount).flatMap { head in
            [
                GGUFMatrix.Part(entry: keys, rowCount: plain, firstRow: head * latent, order: .columns),
                GGUFMatrix.Part(entry: values, rowCount: value, firstRow: head * value),
            ]
        }
    }

    /// - Parameters:
    ///   - dimensions: the innermost first.
    ///   - joinsRows: whether the outer ones may be one.
    private func check(
        _ entry: GGUFModel.Entry, _ dimensions: [Int], joinsRows: Bool = false
    ) throws(CheckpointError) {
        let tensor = entry.tensor
        var found = tensor.dimensions
        while found.count > dimensions.count, found.last == 1 { found.removeLast() }
        var wanted = dimensions
        while wanted.count > found.count, wanted.last == 1 { wanted.removeLast() }
        let isJoined = joinsRows && found == [wanted[0], wanted.dropFirst().reduce(1, *)]
        guard found == wanted || isJoined else {
            throw CheckpointError(
                .wrongTensor, "the shape isn't the one that the metadata call for", path: entry.file.path,
                offset: tensor.offset, tensor: tensor.name, expected: "\(dimensions), the innermost dimension first",
                found: "\(tensor.dimensions)")
        }
        guard GGUFType.readable.contains(tensor.type) else {
            throw CheckpointError(
                .wrongTensor, "weights of this type can't be read", path: entry.file.path, offset: tensor.offset,
                tensor: tensor.name, expected: GGUFType.readable.map(\.name).joined(separator: ", "),
                found: tensor.type.name, advice: "Get the model's file in one of these types")
        }
    }

    private func missing(_ name: String) -> CheckpointError {
        CheckpointError(
            .missingTensor, "the model needs this tensor, and the file doesn't have it", path: model.path,
            tensor: name, advice: "Is the download complete?")
    }
}

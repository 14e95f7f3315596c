/// Which files a checkpoint's weights are in: `model.safetensors`, or the shards that its index names.
struct ShardIndex {
    /// File names, in the order of their names.
    var shards: [String]
    /// Which file each tensor is in; nil for a single file, which lists its own.
    var shardOfTensor: [String: String]?

    static let singleName = "model.safetensors"
    static let indexName = "model.safetensors.index.json"
    static let greatestByteCount = 256 << 20

    init(directory: String) throws(CheckpointError) {
        // With both, the single file counts, as in the reference implementation.
        if try InputFile.ifPresent(path: "\(directory)/\(Self.singleName)") != nil {
            shards = [Self.singleName]
            return
        }
        let path = "\(directory)/\(Self.indexName)"
        guard let file = try InputFile.ifPresent(path: path) else {
            throw CheckpointError(
                .inputOutput, "there are no weights here", path: directory,
                expected: "\(Self.singleName) or \(Self.indexName)", advice: "Is this a checkpoint's folder?")
        }
        var cursor = JSONCursor(try file.allBytes(atMost: Self.greatestByteCount), path: path)
        var map: [String: String]?
        try cursor.object { (cursor, name) throws(CheckpointError) in
            if name == "weight_map" { map = try Self.map(&cursor, path: path) } else { _ = try cursor.value() }
        }
        try cursor.end()
        guard let map, !map.isEmpty else {
            throw CheckpointError(.malformedIndex, "no weights are listed", path: path, expected: "a weight_map")
        }
        shards = Set(map.values).sorted()
        shardOfTensor = map
    }

    private static func map(_ cursor: inout JSONCursor, path: String) throws(CheckpointError) -> [String: String] {
        var map: [String: String] = [:]
        try cursor.object { (cursor, tensor) throws(CheckpointError) in
            let offset = cursor.position
            let shard = try cursor.string()
            // The names come from outside, become paths and are shown to people.
            let isPlain = shard.unicodeScalars.allSatisfy { $0 != "/" && $0.value >= 0x20 && $0.value != 0x7F }
            guard isPlain, !shard.isEmpty, shard != ".", !shard.contains("..") else {
                throw CheckpointError(
                    .malformedIndex, "a shard's name leads out of the folder", path: path, offset: offset,
                    tensor: tensor, expected: "a file name", found: "'\(shard.prefix(200))'")
            }
            map[tensor] = shard
        }
        return map
    }
}

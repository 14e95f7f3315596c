import JSON

/// Which files a checkpoint's weights are in: `model.safetensors`, or the shards that its index names.
struct ShardIndex {
    /// File names, in the order of their names.
    var shards: [String]
    /// Which file each tensor is in; nil for a single file, which lists its own.
    var shardOfTensor: [String: String]?

    static let singleName = "model.safetensors"
    static let indexName = "model.safetensors.index.json"
    /// Four million tensors; the largest published checkpoints have a few hundred thousand.
    private static let limits = JSONLimits(byteCount: 256 << 20, valueCount: 4 << 20)

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
        let entries = try Self.entries(try file.allBytes(atMost: Self.limits.byteCount), path: path)
        guard !entries.isEmpty else {
            throw CheckpointError(.malformedIndex, "no weights are listed", path: path, expected: "a weight_map")
        }
        var map: [String: String] = [:]
        for entry in entries {
            guard entry.isPlain else {
                throw CheckpointError(
                    .malformedIndex, "a shard's name leads out of the folder", path: path, offset: entry.offset,
                    tensor: entry.tensor, expected: "a file name", found: "'\(entry.shard.prefix(200))'")
            }
            map[entry.tensor] = entry.shard
        }
        shards = Set(map.values).sorted()
        shardOfTensor = map
    }

    /// One member of `weight_map`.
    private struct Entry {
        var tensor: String
        var shard: String
        /// Where the shard's name stands.
        var offset: Int

        /// The names come from outside, become paths and are shown to people.
        var isPlain: Bool {
            !shard.isEmpty && shard != "." && !shard.contains("..")
                && shard.unicodeScalars.allSatisfy { $0 != "/" && $0.value >= 0x20 && $0.value != 0x7F }
        }
    }

    private static func entries(_ json: [UInt8], path: String) throws(CheckpointError) -> [Entry] {
        var entries: [Entry] = []
        do {
            var cursor = try JSONCursor(json, limits: limits)
            try cursor.object { (cursor, name) throws(JSONError) in
                guard name == "weight_map" else { return try cursor.skip() }
                try cursor.object { (cursor, tensor) throws(JSONError) in
                    let offset = cursor.position
                    entries.append(Entry(tensor: tensor, shard: try cursor.string(), offset: offset))
                }
            }
            try cursor.end()
        } catch {
            throw CheckpointError(error, path: path)
        }
        return entries
    }
}

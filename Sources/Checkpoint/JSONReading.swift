import JSON

extension JSONValue {
    /// Of the small files: the configurations of model, tokenizer and generation.
    private static let limits = JSONLimits(byteCount: 16 << 20, valueCount: 1 << 20)

    /// The value that a whole file holds.
    init(file bytes: [UInt8], path: String) throws(CheckpointError) {
        do {
            try self.init(parsing: bytes, limits: Self.limits)
        } catch {
            throw CheckpointError(error, path: path)
        }
    }
}

import JSON

/// How FP8 weights are scaled: one factor a block of rows and columns, in `X.weight_scale_inv`.
struct BlockScaling: Sendable, Equatable {
    var rows: Int
    var columns: Int

    /// Reads the rest of `quantization_config`.
    init(_ scheme: ConfigurationReader) throws(CheckpointError) {
        _ = try scheme.name("fmt", accepted: ["e4m3"])
        // How the reference rounds activations on a GPU; here they stay as the forward pass has them.
        _ = try scheme.name("activation_scheme", accepted: ["dynamic"])
        // Powers of two, stored as F32 all the same.
        _ = try scheme.name("scale_fmt", accepted: ["ue8m0", "float"])
        // Which tensors stayed unquantised shows in their element types.
        scheme.ignore(["modules_to_not_convert", "ignored_layers"])
        let block = scheme.take("weight_block_size")
        guard let extents = block?.array?.map(\.integer), extents.count == 2,
            let rows = extents[0], let columns = extents[1], (1...65536).contains(rows), (1...65536).contains(columns)
        else {
            throw scheme.failure(
                "weight_block_size", "not a block size", expected: "a list of rows and columns such as [128, 128]",
                found: block ?? .null)
        }
        self.rows = rows
        self.columns = columns
    }
}

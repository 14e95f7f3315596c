import JSON

/// How a checkpoint's quantised weights are stored, by `quantization_config`; which they are shows in their names and
/// element types.
enum WeightEncoding: Sendable, Equatable {
    case scaledBlocks(BlockScaling)
    /// compressed-tensors' `pack-quantized` with 4 bits and symmetric groups of 32: `X.weight_packed` (eight codes an
    /// I32, the lowest bits first, value = code − 8), `X.weight_scale` [rows, columns / 32] and `X.weight_shape`.
    case packedIntegers
    /// MXFP4 (OCP Microscaling 1.0): `X_blocks` […, columns / 32, 16], two e2m1 codes a byte, the lower bits first, and
    /// `X_scales` […, columns / 32], powers of two as e8m0.
    case mxfp4

    private static let fp8 = "fp8"
    private static let compressedTensors = "compressed-tensors"
    private static let mxfp4Name = "mxfp4"

    /// Reads `quantization_config`; nil where there is none.
    init?(_ reader: ConfigurationReader) throws(CheckpointError) {
        guard let scheme = try reader.object("quantization_config") else { return nil }
        let accepted = [Self.fp8, Self.compressedTensors, Self.mxfp4Name]
        switch try scheme.name("quant_method", accepted: accepted) {
        case Self.fp8: self = .scaledBlocks(try BlockScaling(scheme))
        case Self.compressedTensors:
            try Self.readPacking(scheme)
            self = .packedIntegers
        case Self.mxfp4Name:
            // Which tensors stayed unquantised shows in their names.
            scheme.ignore(["modules_to_not_convert"])
            self = .mxfp4
        default:
            throw scheme.failure(
                "quant_method", "this key is missing", expected: accepted.map { "\"\($0)\"" }.joined(separator: " or "))
        }
        try scheme.finish()
    }

    private static func readPacking(_ scheme: ConfigurationReader) throws(CheckpointError) {
        guard try scheme.name("format", accepted: ["pack-quantized"]) != nil else {
            throw scheme.failure("format", "this key is missing", expected: "\"pack-quantized\"")
        }
        _ = try scheme.name("quantization_status", accepted: ["compressed"])
        try scheme.mustBe("kv_cache_scheme", .null)
        // Which layers stayed as they were, and what that saved.
        scheme.ignore(["ignore", "global_compression_ratio", "version"])
        guard let groups = try scheme.object("config_groups"), !groups.names.isEmpty else {
            throw scheme.failure("config_groups", "there are no groups", expected: "an object with a group")
        }
        for name in groups.names {
            guard let group = try groups.object(name) else { throw groups.failure(name, "this group is missing") }
            try readGroup(group)
        }
    }

    private static func readGroup(_ group: ConfigurationReader) throws(CheckpointError) {
        group.ignore(["targets"])
        _ = try group.name("format", accepted: ["pack-quantized"])
        // Quantised activations would be another model.
        try group.mustBe("input_activations", .null)
        try group.mustBe("output_activations", .null)
        guard let weights = try group.object("weights") else { throw group.failure("weights", "this key is missing") }
        _ = try weights.count("num_bits", in: 4...4)
        _ = try weights.count("group_size", in: 32...32)
        _ = try weights.name("type", accepted: ["int"])
        guard try weights.name("strategy", accepted: ["group"]) != nil else {
            throw weights.failure("strategy", "this key is missing", expected: "\"group\"")
        }
        guard try weights.bool("symmetric") else {
            throw weights.failure("symmetric", "this value isn't supported", expected: "true", found: .bool(false))
        }
        try weights.mustBe("dynamic", .bool(false))
        try weights.mustBe("actorder", .null)
        try weights.mustBe("block_structure", .null)
        // How the scales were found.
        weights.ignore(["observer", "observer_kwargs", "scale_dtype", "zp_dtype"])
        try weights.finish()
        try group.finish()
    }
}

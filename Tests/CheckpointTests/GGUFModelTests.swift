import Checkpoint
import Container
import GGUFSupport
import TestSupport
import Testing

/// Models in GGUF are the checkpoints that they were made from: the same configuration, and the same values bit for bit.
@Suite("Models in GGUF") struct GGUFModelTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func open(_ image: GGUFImage) throws -> Checkpoint {
        let path = "\(directory.path)/model.gguf"
        try image.write(to: path)
        return try Checkpoint(path: path)
    }

    private func expectSame(_ checkpoint: Checkpoint, _ name: String) throws {
        try expectSame(checkpoint, directory: Fixtures.checkpoint(name))
    }

    private func expectSame(
        _ checkpoint: Checkpoint, directory: String, takesPrediction: Bool = true
    ) throws {
        let original = try Checkpoint(directory: directory, takesPrediction: takesPrediction)
        #expect(checkpoint.configuration == original.configuration)
        #expect(checkpoint.tensors.map(\.requirement) == original.tensors.map(\.requirement))
        for (tensor, other) in zip(checkpoint.tensors, original.tensors) {
            #expect(try bits(tensor.matrix) == bits(other.matrix), "\(tensor.requirement.key)")
        }
        #expect(checkpoint.experts.map(\.key) == original.experts.map(\.key))
        for (expert, other) in zip(checkpoint.experts, original.experts) {
            #expect(try bits(expert.gate) == bits(other.gate), "\(expert.key)")
            #expect(try bits(expert.up) == bits(other.up), "\(expert.key)")
            #expect(try bits(expert.down) == bits(other.down), "\(expert.key)")
            #expect(expert.matrices.map(\.importFormat) == other.matrices.map(\.importFormat))
        }
        #expect(checkpoint.skipped.isEmpty == original.skipped.isEmpty)
    }

    private func bits(_ matrix: SourceMatrix) throws -> [UInt32] {
        try matrix.values(rows: 0..<matrix.rows).map(\.bitPattern)
    }

    @Test(arguments: GGUFFixture.names) func everyFamilyIsWhatItWasMadeFrom(name: String) throws {
        try expectSame(try open(GGUFFixture(name, .f32).image), name)
    }

    /// The checkpoint's weights are in bf16.
    @Test func whatTheConverterWroteIsWhatItRead() throws {
        try expectSame(try Checkpoint(path: Fixtures.gguf("deepseek-v2-lite-bf16")), "deepseek-v2-lite")
    }

    /// The tests' own writer writes the converter's tensors, to the last byte.
    @Test(arguments: [("deepseek-v2-lite", BlockWriting.bf16), ("llama", .q8_0)])
    func theWriterIsLikeTheConverter(name: String, type: BlockWriting) throws {
        let file = try GGUFFile(InputFile(path: Fixtures.gguf("\(name)-\(type)")))
        let image = try GGUFFixture(name, type).image
        #expect(Set(file.tensors.map(\.name)) == Set(image.tensors.map(\.name)))
        for tensor in file.tensors {
            let own = try #require(image[tensor: tensor.name])
            #expect(tensor.dimensions == own.dimensions, "\(tensor.name)")
            let bytes = try file.file.bytes(tensor.offset..<tensor.offset + own.bytes.count)
            #expect(bytes == own.bytes, "\(tensor.name)")
        }
        for (key, value) in file.values where !key.hasPrefix("general.") && !key.hasPrefix("tokenizer.") {
            if key.hasSuffix("vocab_size") { continue }
            let own = try #require(image[key], "\(key)")
            switch (value, own) {
            case (.integer(let value), .uint32(let own)): #expect(value == Int(own), "\(key)")
            case (.number(let value), .float32(let own)): #expect(Float(value) == own, "\(key)")
            case (.text(let value), .text(let own)): #expect(value == own, "\(key)")
            case (.bool(let value), .bool(let own)): #expect(value == own, "\(key)")
            default: Issue.record("\(key): \(value), \(own)")
            }
        }
    }

    // MARK: Forms that older and other converters give

    private func keyValueUp(_ checkpoint: Checkpoint) throws -> [[UInt32]] {
        try checkpoint.tensors.filter { $0.requirement.key.role == .keyValueUp }.map { try bits($0.matrix) }
    }

    private func joined(_ image: GGUFImage) throws -> GGUFImage {
        var image = image
        let original = try Checkpoint(directory: Fixtures.checkpoint("deepseek-v2-lite"))
        for tensor in original.tensors where tensor.requirement.key.role == .keyValueUp {
            let layer = try #require(tensor.requirement.key.layer)
            image[tensor: "blk.\(layer).attn_kv_b.weight"] = .init(
                name: "blk.\(layer).attn_kv_b.weight", dimensions: [tensor.matrix.columns, tensor.matrix.rows],
                kind: BlockWriting.f32.rawValue,
                bytes: BlockWriting.f32.bytes(try tensor.matrix.values(rows: 0..<tensor.matrix.rows)))
        }
        return image
    }

    @Test func keysAndValuesMayBeInOneMatrix() throws {
        var image = try joined(GGUFFixture("deepseek-v2-lite", .f32).image)
        // With the two parts beside it, in matrices of two dimensions.
        for layer in 0..<3 {
            image[tensor: "blk.\(layer).attn_k_b.weight"]?.dimensions = [16, 4 * 32]
            image[tensor: "blk.\(layer).attn_v_b.weight"]?.dimensions = [32, 4 * 16]
        }
        try expectSame(try open(image), "deepseek-v2-lite")
        // Alone, with the sizes that belong to it.
        image.tensors.removeAll { $0.name.contains("attn_k_b") || $0.name.contains("attn_v_b") }
        image["deepseek2.attention.key_length_mla"] = nil
        image["deepseek2.attention.value_length_mla"] = nil
        image["deepseek2.attention.key_length"] = .uint32(32)
        image["deepseek2.attention.value_length"] = .uint32(16)
        image["deepseek2.attention.head_count_kv"] = .uint32(4)
        try expectSame(try open(image), "deepseek-v2-lite")
    }

    @Test func partsOfTwoDimensionsAreJoinedToo() throws {
        var image = try GGUFFixture("deepseek-v2-lite", .f32).image
        for layer in 0..<3 {
            image[tensor: "blk.\(layer).attn_k_b.weight"]?.dimensions = [16, 4 * 32]
            image[tensor: "blk.\(layer).attn_v_b.weight"]?.dimensions = [32, 4 * 16]
        }
        try expectSame(try open(image), "deepseek-v2-lite")
    }

    @Test func expertsMayBeTensorsOfTheirOwn() throws {
        var image = try GGUFFixture("mixtral", .f32).image
        for stack in image.tensors where stack.name.hasSuffix("_exps.weight") {
            let size = stack.bytes.count / 8
            for expert in 0..<8 {
                image.tensors.append(
                    .init(
                        name: stack.name.replacing("_exps.weight", with: ".\(expert).weight"),
                        dimensions: Array(stack.dimensions[..<2]), kind: stack.kind,
                        bytes: Array(stack.bytes[expert * size..<(expert + 1) * size])))
            }
        }
        image.tensors.removeAll { $0.name.hasSuffix("_exps.weight") }
        try expectSame(try open(image), "mixtral")
    }

    @Test func gateAndUpMayBeOneStack() throws {
        var image = try GGUFFixture("qwen3-moe", .f32).image
        for layer in 0..<3 {
            let gate = try #require(image[tensor: "blk.\(layer).ffn_gate_exps.weight"])
            let up = try #require(image[tensor: "blk.\(layer).ffn_up_exps.weight"])
            let size = gate.bytes.count / 16
            var bytes: [UInt8] = []
            for start in stride(from: 0, to: gate.bytes.count, by: size) {
                bytes += gate.bytes[start..<start + size]
                bytes += up.bytes[start..<start + size]
            }
            image[tensor: gate.name] = nil
            image[tensor: up.name] = nil
            image.tensors.append(
                .init(
                    name: "blk.\(layer).ffn_gate_up_exps.weight", dimensions: [64, 64, 16], kind: gate.kind,
                    bytes: bytes))
        }
        try expectSame(try open(image), "qwen3-moe")
    }

    @Test func theEmbeddingMayServeAsHead() throws {
        var image = try GGUFFixture("llama", .f32).image
        image[tensor: "output.weight"] = nil
        let checkpoint = try open(image)
        let head = try #require(checkpoint.tensors.first { $0.requirement.key.role == .outputHead })
        #expect(head.matrix.name == "token_embd.weight")
    }

    /// A layer like the last one, with norms and a projection of its own, a copy of the embedding and another head.
    @Test(arguments: ["glm4-moe", "glm4-moe-lite"], [true, false])
    func layersThatPredictMoreAreTaken(name: String, takesPrediction: Bool) throws {
        var edited = try EditedCheckpoint(name)
        let count = 3
        if name != "glm4-moe" {
            edited.replace("\"num_nextn_predict_layers\": 0", with: "\"num_nextn_predict_layers\": 1")
        }
        let (last, added) = ("model.layers.\(count - 1).", "model.layers.\(count).")
        for (name, tensor) in edited.tensors where name.hasPrefix(last) {
            edited.tensors[name.replacing(last, with: added)] = tensor
        }
        let norm = try #require(edited.tensors["model.norm.weight"])
        for name in ["enorm", "hnorm", "shared_head.norm"] { edited.tensors["\(added)\(name).weight"] = norm }
        let projection = (0..<64 * 128).map { Float($0 % 7 - 3) }
        edited.tensors[added + "eh_proj.weight"] = .init(
            element: .f32, shape: [64, 128], bytes: BlockWriting.f32.bytes(projection))
        edited.tensors[added + "embed_tokens.weight"] = edited.tensors["model.embed_tokens.weight"]
        edited.tensors[added + "shared_head.head.weight"] = edited.tensors["model.embed_tokens.weight"]
        try edited.write(to: directory)

        try GGUFFixture(directory: directory.path, .f32).image.write(to: "\(directory.path)/model.gguf")
        let checkpoint = try Checkpoint(path: "\(directory.path)/model.gguf", takesPrediction: takesPrediction)
        try expectSame(checkpoint, directory: directory.path, takesPrediction: takesPrediction)
        let layers = checkpoint.configuration.predictionLayers
        #expect(layers == (takesPrediction ? [.init(hasOwnEmbedding: false, hasOwnHead: true)] : nil))
        #expect(checkpoint.skipped.map(\.reason).contains { $0.contains("layer \(count)") })
    }

    @Test func factorsOfOneChangeNothing() throws {
        let checkpoint = try open(withFactors([Float](repeating: 1, count: 8)))
        try expectSame(checkpoint, "llama")
        #expect(checkpoint.configuration.rotary?.divisors == nil)
    }

    private func withFactors(_ factors: [Float]) throws -> GGUFImage {
        var image = try GGUFFixture("llama", .f32).image
        image[tensor: "rope_freqs.weight"] = .init(
            name: "rope_freqs.weight", dimensions: [factors.count], kind: 0, bytes: BlockWriting.f32.bytes(factors))
        return image
    }

    /// The factors are those that the converter wrote for the same scaling.
    @Test func factorsScaleAsTheConfigurationThatTheyWereMadeFrom() throws {
        var edited = try EditedCheckpoint("llama")
        edited.replace(
            "\"rope_type\": \"default\"",
            with: """
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64
                """)
        let original = try edited.open().configuration.rotary
        let factors: [Float] = [1, 1.293975830078125, 7.667385101318359, 8, 8, 8, 8, 8]
        #expect(original?.divisors == factors)
        #expect(try open(withFactors(factors)).configuration.rotary == original)
    }

    @Test func linearScalingDividesAlike() throws {
        var edited = try EditedCheckpoint("llama")
        edited.replace("\"rope_type\": \"default\"", with: "\"rope_type\": \"linear\", \"factor\": 2.5")
        try edited.write(to: directory)
        var image = try GGUFFixture(directory: directory.path, .f32).image
        try expectSame(try open(image), directory: directory.path)
        #expect(try open(image).configuration.rotary?.divisors == Array(repeating: 2.5, count: 8))
        // Older files have another key.
        image["llama.rope.scaling.type"] = nil
        image["llama.rope.scaling.factor"] = nil
        image["llama.rope.scale_linear"] = .float32(2.5)
        try expectSame(try open(image), directory: directory.path)
    }

    @Test func factorsThatDoNotFitAreRefused() throws {
        var scaledTwice = try withFactors([Float](repeating: 4, count: 8))
        scaledTwice["llama.rope.scaling.type"] = .text("linear")
        scaledTwice["llama.rope.scaling.factor"] = .float32(2)
        for image in [
            try withFactors([Float](repeating: 4, count: 7)), try withFactors([1, 1, 1, 1, 1, 1, 1, 0]),
            try withFactors([1, 1, 1, 1, 1, 1, 1, .nan]), scaledTwice,
        ] {
            let error = #expect(throws: CheckpointError.self) { try open(image) }
            #expect(error?.code == .wrongTensor && error?.tensor == "rope_freqs.weight")
        }
    }

    /// Files from before the key have no groups in their metadata, but the published models' shapes tell.
    @Test func groupsThatTheFileDoesNotTellAreSaid() throws {
        var image = try GGUFFixture("deepseek-v3", .f32).image
        image["deepseek2.expert_group_count"] = nil
        image["deepseek2.expert_group_used_count"] = nil
        let checkpoint = try open(image)
        #expect(checkpoint.configuration.experts?.router.groupCount == 1)
        #expect(checkpoint.warnings.contains { $0.contains("groups") })
    }

    // MARK: Parts and rows

    @Test func splitModelsAreReadFromAllTheirParts() throws {
        let parts = try GGUFFixture("qwen3-moe", .f32).image.split(into: 3)
        for (number, part) in parts.enumerated() {
            try part.write(to: "\(directory.path)/m-0000\(number + 1)-of-00003.gguf")
        }
        let checkpoint = try Checkpoint(path: "\(directory.path)/m-00001-of-00003.gguf")
        try expectSame(checkpoint, "qwen3-moe")
        #expect(checkpoint.files.map(\.name) == (1...3).map { "m-0000\($0)-of-00003.gguf" })

        let later = #expect(throws: CheckpointError.self) {
            try Checkpoint(path: "\(directory.path)/m-00002-of-00003.gguf")
        }
        #expect(later?.code == .malformedIndex)
        // The same part twice, and a part of another model.
        try parts[1].write(to: "\(directory.path)/m-00003-of-00003.gguf")
        let twice = #expect(throws: CheckpointError.self) {
            try Checkpoint(path: "\(directory.path)/m-00001-of-00003.gguf")
        }
        #expect(twice?.code == .malformedIndex)
        var fewer = parts[2]
        fewer.tensors.removeLast()
        try fewer.write(to: "\(directory.path)/m-00003-of-00003.gguf")
        let missing = #expect(throws: CheckpointError.self) {
            try Checkpoint(path: "\(directory.path)/m-00001-of-00003.gguf")
        }
        #expect(missing?.key == "split.tensors.count")
    }

    /// Rows that stand in another order, that are columns, and that are packed in blocks.
    @Test(arguments: [("llama", BlockWriting.q8_0), ("deepseek-v2-lite", .bf16), ("mixtral", .q4_0)])
    func anyRowsCanBeReadAlone(name: String, type: BlockWriting) throws {
        let checkpoint = try open(GGUFFixture(name, type).image)
        for tensor in checkpoint.tensors
        where [.key, .query, .keyValueUp, .router].contains(tensor.requirement.key.role) {
            let matrix = tensor.matrix
            let all = try matrix.values(rows: 0..<matrix.rows)
            for range in [0..<1, 3..<matrix.rows - 1, matrix.rows - 1..<matrix.rows, 5..<5, 1..<7] {
                let expected = Array(all[range.lowerBound * matrix.columns..<range.upperBound * matrix.columns])
                #expect(try matrix.values(rows: range) == expected, "\(tensor.requirement.key) \(range)")
            }
        }
    }

    @Test(arguments: BlockWriting.allCases) func everyTypeStandsForItsValues(type: BlockWriting) throws {
        let checkpoint = try open(GGUFFixture("olmoe", type).image)
        let original = try Checkpoint(directory: Fixtures.checkpoint("olmoe"))
        // Half of a step of the largest value's code, against that value, and what rounding the scale adds.
        let limits: [BlockWriting: Float] = [
            .f32: 0, .f16: 1 / 2048, .bf16: 1 / 256, .q8_0: 1 / 220, .q4_0: 1 / 7, .mxfp4: 1 / 4,
        ]
        for (expert, other) in zip(checkpoint.experts, original.experts) {
            let (values, expected) = (
                try expert.down.values(rows: 0..<64), try other.down.values(rows: 0..<64)
            )
            for group in stride(from: 0, to: values.count, by: 32) {
                let greatest = expected[group..<group + 32].map(abs).max() ?? 0
                for index in group..<group + 32 {
                    #expect(abs(values[index] - expected[index]) <= greatest * (limits[type] ?? 1 / 7))
                }
            }
        }
    }

    /// Of one kind, so many a row of 256 values, with binary16 numbers at these bytes.
    struct Blocks: Sendable {
        var kind: UInt32
        var count = 1
        var byteCount: Int
        var scales: [Int]
        /// XXH3-64 of what the public `gguf` package makes of the same rows, as binary32.
        var checksum: UInt64

        static let all = [
            Blocks(kind: 12, byteCount: 144, scales: [0, 2], checksum: 0x277d_093f_a357_8dfe),
            Blocks(kind: 13, byteCount: 176, scales: [0, 2], checksum: 0xa8d0_d141_3ef3_20d8),
            Blocks(kind: 14, byteCount: 210, scales: [208], checksum: 0xbbee_459f_0bf5_8769),
            Blocks(kind: 3, count: 8, byteCount: 20, scales: [0, 2], checksum: 0x10e1_8166_2fe8_5faa),
            Blocks(kind: 6, count: 8, byteCount: 22, scales: [0], checksum: 0x5d8a_5f8a_6c93_078a),
            Blocks(kind: 7, count: 8, byteCount: 24, scales: [0, 2], checksum: 0x0ba5_6443_68e8_1057),
        ]
    }

    @Test(arguments: Blocks.all) func blocksThatTheContainerDoesNotHaveStandForTheirValues(blocks: Blocks) throws {
        let scales = (0..<blocks.count).flatMap { block in blocks.scales.map { block * blocks.byteCount + $0 } }
        var image = GGUFImage()
        image["general.architecture"] = .text("llama")
        for (key, value) in [
            ("block_count", 1), ("context_length", 64), ("embedding_length", 256), ("feed_forward_length", 32),
            ("attention.head_count", 2), ("attention.head_count_kv", 1), ("attention.key_length", 16),
        ] as [(String, UInt32)] {
            image["llama.\(key)"] = .uint32(value)
        }
        image["llama.attention.layer_norm_rms_epsilon"] = .float32(1e-5)
        for (name, dimensions) in [
            ("output_norm", [256]), ("blk.0.attn_norm", [256]), ("blk.0.ffn_norm", [256]), ("blk.0.attn_q", [256, 32]),
            ("blk.0.attn_k", [256, 16]), ("blk.0.attn_v", [256, 16]), ("blk.0.attn_output", [32, 256]),
            ("blk.0.ffn_gate", [256, 32]), ("blk.0.ffn_up", [256, 32]), ("blk.0.ffn_down", [32, 256]),
        ] {
            let zeros = [UInt8](repeating: 0, count: 4 * dimensions.reduce(1, *))
            image.tensors.append(.init(name: "\(name).weight", dimensions: dimensions, kind: 0, bytes: zeros))
        }
        let bytes = (0..<4).flatMap { row in
            var bytes = (0..<blocks.count * blocks.byteCount).map {
                UInt8(truncatingIfNeeded: $0 * 37 + row * 91 + 11)
            }
            for (number, place) in scales.enumerated() {
                bytes[place] = UInt8(0x1F + row)
                bytes[place + 1] = UInt8(0x21 + 4 * number)
            }
            return bytes
        }
        image.tensors.append(.init(name: "token_embd.weight", dimensions: [256, 4], kind: blocks.kind, bytes: bytes))
        let matrix = try #require(try open(image).tensors.first).matrix
        #expect(try XXH3.hash(matrix.values(rows: 0..<4).flatMap { little($0.bitPattern) }) == blocks.checksum)
        #expect(try matrix.values(rows: 2..<3) == Array(matrix.values(rows: 0..<4)[512..<768]))
    }
}

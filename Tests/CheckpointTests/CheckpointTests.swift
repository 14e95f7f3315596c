import Checkpoint
import Container
import FoundationEssentials
import TestSupport
import Testing

@Suite("Checkpoints in canonical terms")
struct CheckpointTests {
    @Test(arguments: ["deepseek-v3", "deepseek-v3-fp8", "moonlight"])
    func everyTensorOfAFixtureIsFound(name: String) throws {
        let checkpoint = try Checkpoint(directory: Fixtures.checkpoint(name))
        let configuration = checkpoint.configuration
        let wanted =
            configuration.modelTensors + (0..<configuration.layerCount).flatMap(configuration.tensors(ofLayer:))
        #expect(checkpoint.tensors.map(\.requirement) == wanted)
        #expect(checkpoint.experts.count == 2 * 16)
        #expect(checkpoint.skipped.isEmpty)
        #expect(checkpoint.warnings.count == 1 && checkpoint.warnings[0].contains("tokenizer.json"))
    }

    @Test func predictionLayersAreTakenWithoutTheirCopies() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.demo)
        #expect(checkpoint.skipped.map(\.reason) == ["layer 5's copy of the embedding", "layer 5's copy of the head"])
        #expect(checkpoint.skipped.map(\.tensorCount) == [1, 1])
        #expect(checkpoint.configuration.predictionLayers == [.init(hasOwnEmbedding: false, hasOwnHead: false)])
        #expect(checkpoint.experts.count { $0.key.layer == 5 } == 32)
        let own = checkpoint.tensors.filter { $0.requirement.key.layer == 5 }.map(\.matrix.name)
        #expect(own.contains("model.layers.5.eh_proj.weight") && own.contains("model.layers.5.shared_head.norm.weight"))
        #expect(own.count + 3 * 32 + 2 == 116)
    }

    @Test func anEmbeddingOfTheirOwnIsKeptAndSaidSo() throws {
        var edited = try EditedCheckpoint("moonlight")
        edited.replace(#""num_nextn_predict_layers": 0"#, with: #""num_nextn_predict_layers": 1"#)
        for (name, tensor) in edited.tensors where name.hasPrefix("model.layers.2.") {
            edited.tensors[name.replacing("layers.2.", with: "layers.3.")] = tensor
        }
        let norm = try #require(edited.tensors["model.norm.weight"])
        for name in ["enorm", "hnorm", "shared_head.norm"] { edited.tensors["model.layers.3.\(name).weight"] = norm }
        edited.tensors["model.layers.3.eh_proj.weight"] = .init(
            element: .bf16, shape: [64, 128], bytes: Array(repeating: 0, count: 64 * 128 * 2))
        edited.tensors["model.layers.3.shared_head.head.weight"] = edited.tensors["lm_head.weight"]
        edited.tensors["model.layers.3.embed_tokens.weight"] = edited.tensors["model.embed_tokens.weight"]
        edited.tensors["model.layers.3.embed_tokens.weight"]?.bytes[77] ^= 1
        let checkpoint = try edited.open()
        #expect(checkpoint.configuration.predictionLayers == [.init(hasOwnEmbedding: true, hasOwnHead: false)])
        #expect(checkpoint.skipped.map(\.reason) == ["layer 3's copy of the head"])
        #expect(checkpoint.warnings.contains { $0.contains("Layer 3's embedding isn't the model's own") })
        // One that doesn't have all it needs is as damaged as any other layer.
        edited.tensors["model.layers.3.hnorm.weight"] = nil
        #expect(try edited.failure()?.tensor == "model.layers.3.hnorm.weight")
    }

    @Test func aPredictionLayerThatIsntThereIsOnlySaidSo() throws {
        var edited = try EditedCheckpoint("moonlight")
        edited.replace(#""num_nextn_predict_layers": 0"#, with: #""num_nextn_predict_layers": 1"#)
        let checkpoint = try edited.open()
        #expect(checkpoint.configuration.predictionLayers == nil)
        #expect(checkpoint.warnings.contains { $0.contains("layer 3") })
    }

    @Test func predictionLayersCanBeLeftOut() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.demo, takesPrediction: false)
        #expect(checkpoint.configuration.predictionLayers == nil)
        #expect(checkpoint.skipped.count == 1)
        #expect(checkpoint.skipped[0].reason.contains("layer 5"))
        #expect(checkpoint.skipped[0].tensorCount == 116)
        #expect(checkpoint.warnings.isEmpty)
        #expect(checkpoint.generationDefaults == GenerationDefaults(temperature: 0.6, topP: 0.95))
        #expect(checkpoint.text.chatTemplate?.contains("add_generation_prompt") == true)
        #expect(checkpoint.text.tokenizerJSON != nil && checkpoint.text.tokenizerConfigJSON != nil)
    }

    @Test func aMissingTensorIsNamed() throws {
        var edited = try EditedCheckpoint()
        edited.tensors["model.layers.2.mlp.experts.7.up_proj.weight"] = nil
        let error = try #require(try edited.failure())
        #expect(error.code == .missingTensor && error.tensor == "model.layers.2.mlp.experts.7.up_proj.weight")
    }

    @Test(arguments: ["model.layers.3.input_layernorm.weight", "model.layers.1.mlp.gate.bias", "x"])
    func anUnknownTensorIsNamed(name: String) throws {
        var edited = try EditedCheckpoint()
        edited.tensors[name] = .init(element: .f32, shape: [1], bytes: [0, 0, 0, 0])
        let error = try #require(try edited.failure())
        #expect(error.code == .unexpectedTensor && error.tensor == name)
    }

    @Test func aWrongShapeIsNamed() throws {
        var edited = try EditedCheckpoint()
        edited.tensors["lm_head.weight"]?.shape = [64, 256]
        let error = try #require(try edited.failure())
        #expect(error.code == .wrongTensor && error.tensor == "lm_head.weight")
        #expect(error.expected == "[256, 64]" && error.found == "[64, 256]")
    }

    @Test func aWrongElementTypeIsNamed() throws {
        var edited = try EditedCheckpoint()
        edited.tensors["model.norm.weight"] = .init(element: .i16, shape: [64], bytes: .init(repeating: 0, count: 128))
        let error = try #require(try edited.failure())
        #expect(error.code == .wrongTensor && error.found == "I16")
    }

    @Test func aTiedHeadIsTheEmbedding() throws {
        var edited = try EditedCheckpoint()
        edited.replace("\"tie_word_embeddings\": false", with: "\"tie_word_embeddings\": true")
        let ignored = try edited.open()
        #expect(ignored.skipped.map(\.tensorCount) == [1], "a head that is there isn't used")
        edited.tensors["lm_head.weight"] = nil
        let checkpoint = try edited.open()
        let head = try #require(checkpoint.tensors.first { $0.requirement.key.role == .outputHead })
        #expect(head.matrix.name == "model.embed_tokens.weight")
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func aValueThatIsNotFiniteIsNamedWithItsPlace(value: Float) throws {
        var edited = try EditedCheckpoint()
        let bits = UInt16(value.bitPattern >> 16)
        // Row 3, column 5 of [256, 64] in bf16.
        edited.tensors["lm_head.weight"]?.bytes.replaceSubrange(
            394..<396, with: [UInt8(truncatingIfNeeded: bits), UInt8(bits >> 8)])
        let directory = try TemporaryDirectory()
        try edited.write(to: directory)
        let checkpoint = try Checkpoint(directory: directory.path)
        let head = try #require(checkpoint.tensors.first { $0.requirement.key.role == .outputHead }).matrix
        #expect(try head.values(rows: 4..<8).count == 4 * 64)
        let error = #expect(throws: CheckpointError.self) { try head.values(rows: 2..<6) }
        #expect(error?.code == .notFinite && error?.tensor == "lm_head.weight")
        #expect(error?.found?.contains("row 3, column 5") == true)
    }

    @Test(arguments: [
        ("{\"eos_token_id\": [1, 7], \"temperature\": 1, \"top_k\": 50}", GenerationDefaults(temperature: 1, topK: 50)),
        (
            "{\"eos_token_id\": [7], \"do_sample\": false, \"top_p\": 0.5}",
            GenerationDefaults(temperature: 0, topP: 0.5)
        ),
        (
            "{\"eos_token_id\": 7, \"repetition_penalty\": 1.1, \"min_p\": 0.05, \"other\": {}}",
            GenerationDefaults(minP: 0.05, repetitionPenalty: 1.1)
        ),
    ])
    func generationDefaults(json: String, expected: GenerationDefaults) throws {
        var edited = try EditedCheckpoint()
        edited.files["generation_config.json"] = json
        let checkpoint = try edited.open()
        #expect(checkpoint.generationDefaults == expected)
        #expect(checkpoint.configuration.endTokens == [1, 7])
    }

    @Test(arguments: [
        ("{\"chat_template\": \"A\"}", nil, "A"),
        (
            "{\"chat_template\": [{\"name\": \"tool\", \"template\": \"B\"}, {\"name\": \"default\", \"template\": \"C\"}]}",
            nil, "C"
        ),
        ("{\"chat_template\": \"A\"}", "D", "D"), ("{}", nil, nil), ("{\"chat_template\": null}", nil, nil),
    ])
    func chatTemplates(config: String, file: String?, expected: String?) throws {
        var edited = try EditedCheckpoint()
        edited.files["tokenizer.json"] = "{}"
        edited.files["tokenizer_config.json"] = config
        edited.files["chat_template.jinja"] = file
        let checkpoint = try edited.open()
        #expect(checkpoint.text.chatTemplate == expected)
        #expect(checkpoint.warnings.count == (expected == nil ? 1 : 0))
    }

    @Test(arguments: [
        "top_p\": 1.5", "top_p\": 0", "temperature\": -1", "top_k\": -1", "eos_token_id\": 256", "min_p\": \"0\"",
    ])
    func impossibleGenerationDefaultsAreNamed(member: String) throws {
        var edited = try EditedCheckpoint()
        edited.files["generation_config.json"] = "{\"\(member)}"
        let error = try #require(try edited.failure())
        #expect(error.code == .configuration && error.path?.hasSuffix("generation_config.json") == true)
        #expect(error.key.map(member.hasPrefix) == true)
    }

    @Test func aFolderWithoutWeightsIsAnError() throws {
        let directory = try TemporaryDirectory()
        try Data(publishedV3.utf8).write(to: URL(filePath: "\(directory.path)/config.json"))
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(directory: directory.path) }
        #expect(error?.code == .inputOutput)
    }

    @Test(arguments: [
        "../model.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", "x\\u0000.safetensors",
        "missing.safetensors",
    ])
    func shardsOutsideTheFolderAreRefused(shard: String) throws {
        let directory = try TemporaryDirectory()
        try EditedCheckpoint().write(to: directory)
        try FileManager.default.moveItem(
            atPath: "\(directory.path)/model.safetensors", toPath: "\(directory.path)/one.safetensors")
        let map = "{\"weight_map\": {\"lm_head.weight\": \"\(shard)\"}}"
        try Data(map.utf8).write(to: URL(filePath: "\(directory.path)/model.safetensors.index.json"))
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(directory: directory.path) }
        #expect(error?.code == (shard.hasPrefix("missing") ? .inputOutput : .malformedIndex))
    }
}

extension SourceMatrix {
    func values(rows range: Range<Int>) throws -> [Float] {
        var values = [Float](repeating: .nan, count: range.count * columns)
        try values.withUnsafeMutableBufferPointer { try readRows(range, into: $0) }
        return values
    }
}

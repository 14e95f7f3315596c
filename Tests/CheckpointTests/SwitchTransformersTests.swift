import Checkpoint
import Container
import FoundationEssentials
import TestSupport
import Testing

@Suite struct SwitchTransformersTests {
    private func configuration(_ changes: [(String, String)] = []) throws -> ModelConfiguration {
        var edited = try EditedCheckpoint("switch")
        for (old, new) in changes { edited.replace(old, with: new) }
        return try Checkpoint.configuration(json: [UInt8](edited.configuration.utf8))
    }

    @Test func theFixture() throws {
        let model = try configuration()
        #expect(model.family == "switch_transformers" && model.rotary == nil && model.activation == .relu)
        #expect(model.layerCount == 8 && model.denseIntermediateSize == 96)
        #expect(model.encoder == .init(layerCount: 4, startToken: 0, outputScale: 0.125))
        #expect(model.sparseLayers == [false, true, false, true, false, true, false, true])
        #expect(
            model.attention
                == .relative(.init(headCount: 4, headSize: 16, bucketCount: 32, greatestDistance: 128)))
        #expect(
            model.experts
                == .init(
                    routedExpertCount: 8, expertsPerToken: 1, intermediateSize: 96, sharedIntermediateSize: 0,
                    router: .init(
                        scoring: .softmax, hasSelectionBias: false, groupCount: 1, groupsPerToken: 1,
                        groupScore: .maximum, normalizesWeights: false, weightScale: 1, capacity: 6)))
        #expect(model.endTokens == [1] && model.beginToken == nil)
    }

    struct Sparseness: Sendable {
        var changes: [(String, String)]
        var layers: [Bool]
    }

    /// Which layers are sparse is said in two ways.
    static let sparseness: [Sparseness] = [
        Sparseness(changes: [(step, "")], layers: [false, true, false, true]),
        Sparseness(changes: [(step, #""encoder_sparse_step": 1,"#)], layers: [true, true, true, true]),
        Sparseness(changes: [(step, #""encoder_sparse_step": 3,"#)], layers: [false, true, false, false]),
        Sparseness(changes: [(step, #""encoder_sparse_step": 0,"#)], layers: [false, false, false, false]),
        Sparseness(
            changes: [(step, ""), (#""num_sparse_encoder_layers": 2"#, #""num_sparse_encoder_layers": 4"#)],
            layers: [true, true, true, true]),
    ]

    private static let step = #""encoder_sparse_step": 2,"#

    @Test(arguments: sparseness)
    func sparseLayers(_ sparseness: Sparseness) throws {
        #expect(try Array(configuration(sparseness.changes).sparseLayers.prefix(4)) == sparseness.layers)
    }

    @Test func aHeadOfItsOwnIsNotScaled() throws {
        let tied = #""tie_word_embeddings": true"#
        let untied = [(tied, tied.replacing("true", with: "false"))]
        #expect(try configuration(untied).encoder?.outputScale == 1)
        var edited = try EditedCheckpoint("switch")
        edited.replace(untied[0].0, with: untied[0].1)
        #expect(try edited.failure()?.tensor == "lm_head.weight")
        edited.tensors["lm_head.weight"] = edited.tensors["shared.weight"]
        #expect(
            try edited.open().tensors.first { $0.requirement.key.role == .outputHead }?.matrix.name == "lm_head.weight")
    }

    /// Without ties the encoder and the decoder may have embeddings of their own, or copies of the shared one.
    @Test(arguments: [("", ""), ("encoder", "encoder"), ("decoder", "shared"), ("encoder, decoder", "encoder")])
    func embeddingsOfTheirOwn(changed: String, encoding: String) throws {
        var edited = try EditedCheckpoint("switch")
        edited.replace(#""tie_word_embeddings": true"#, with: #""tie_word_embeddings": false"#)
        let shared = try #require(edited.tensors["shared.weight"])
        for (place, name) in ["encoder", "decoder"].enumerated() {
            var copy = shared
            if changed.contains(name) { copy.bytes[4 * place] ^= 1 }
            edited.tensors["\(name).embed_tokens.weight"] = copy
        }
        edited.tensors["lm_head.weight"] = shared
        let checkpoint = try edited.open()
        func name(_ role: TensorRole) -> String? {
            checkpoint.tensors.first { $0.requirement.key.role == role }?.matrix.name
        }
        #expect((checkpoint.configuration.encoder?.hasOwnEmbedding == true) == !changed.isEmpty)
        let own = ["encoder": "encoder.embed_tokens.weight", "shared": "shared.weight"]
        #expect(name(.encoderEmbedding) == own[encoding])
        #expect(
            name(.tokenEmbedding) == (changed.contains("decoder") ? "decoder.embed_tokens.weight" : "shared.weight"))
        #expect(
            checkpoint.skipped.reduce(0) { $0 + $1.tensorCount } == 2 - (changed.contains("encoder") ? 1 : 0)
                - (changed.contains("decoder") ? 1 : 0) + (changed.contains(",") ? 1 : 0))
    }

    @Test func copiesOfTheEmbeddingAreLeftOut() throws {
        var edited = try EditedCheckpoint("switch")
        for name in ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"] {
            edited.tensors[name] = edited.tensors["shared.weight"]
        }
        let skipped = try edited.open().skipped
        #expect(skipped.reduce(0) { $0 + $1.tensorCount } == 3)
        #expect(skipped.allSatisfy { $0.reason == "copies of the embedding" })
    }

    @Test func expertsHaveNoGate() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.checkpoint("switch"))
        #expect(checkpoint.experts.count == 32)
        let last = try #require(checkpoint.experts.last)
        #expect(
            last.matrices.map(\.name)
                == ["wi", "wo"].map { "decoder.block.3.layer.2.mlp.experts.expert_7.\($0).weight" })
        #expect(last.key == ExpertKey(layer: 7, expert: 7))
    }

    @Test(arguments: [
        (#""dense_act_fn": "relu""#, #""dense_act_fn": "gelu_new""#),
        (#""dense_act_fn": "relu""#, #""feed_forward_proj": "gated-gelu""#),
        (#""dense_act_fn": "relu""#, #""is_gated_act": true"#), (#""router_bias": false"#, #""router_bias": true"#),
        (#""router_dtype": "float32""#, #""router_dtype": "bfloat16""#),
        (#""use_cache": true"#, #""num_selected_experts": 2"#),
        (#""use_cache": true"#, #""batch_prioritized_routing": true"#),
        (#""expert_capacity": 6"#, #""expert_capacity": 0"#), (#""expert_capacity": 6,"#, ""),
        (#""decoder_start_token_id": 0"#, #""decoder_start_token_id": 256"#),
        (#""relative_attention_num_buckets": 32"#, #""relative_attention_num_buckets": 2"#),
        (#""relative_attention_max_distance": 128"#, #""relative_attention_max_distance": 16"#),
        (#""use_cache": true"#, #""something_new": 1"#),
    ])
    func whatIsNotSupportedIsNamed(old: String, new: String) throws {
        let error = #expect(throws: CheckpointError.self) { try configuration([(old, new)]) }
        #expect(error?.code == .configuration && error?.key != nil)
    }
}

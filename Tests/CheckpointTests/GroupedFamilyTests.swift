import Checkpoint
import Container
import FoundationEssentials
import TestSupport
import Testing

/// `config.json` of the families whose heads share keys and values.
@Suite struct GroupedFamilyTests {
    private func json(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: "\(Fixtures.checkpoint(name))/config.json")), as: UTF8.self)
    }

    private func configuration(_ json: String) throws -> ModelConfiguration {
        try Checkpoint.configuration(json: [UInt8](json.utf8))
    }

    private func attention(_ name: String) throws -> ModelConfiguration.GroupedAttention {
        guard case .grouped(let attention) = try configuration(json(name)).attention else {
            throw CancellationError()
        }
        return attention
    }

    @Test func qwen3MoE() throws {
        let model = try configuration(json("qwen3-moe"))
        #expect(model.family == "qwen3_moe")
        #expect(model.rotary == .init(theta: 1_000_000, pairing: .halves, yarn: nil))
        #expect(model.sparseLayers == [true, true, true] && model.denseIntermediateSize == 0)
        #expect(
            try attention("qwen3-moe")
                == .init(
                    headCount: 4, keyValueHeadCount: 2, headSize: 16, ropeHeadSize: 16, hasBias: false,
                    headNorm: .perHead, softmaxScale: 0.25))
        #expect(
            model.experts
                == .init(
                    routedExpertCount: 16, expertsPerToken: 4, intermediateSize: 32, sharedIntermediateSize: 0,
                    router: .init(
                        scoring: .softmax, hasSelectionBias: false, groupCount: 1, groupsPerToken: 1,
                        groupScore: .maximum, normalizesWeights: true, weightScale: 1)))
    }

    @Test func qwen3MoEChoosesItsDenseLayers() throws {
        let every = try json("qwen3-moe").replacing(#""decoder_sparse_step": 1"#, with: #""decoder_sparse_step": 2"#)
        #expect(try configuration(every).sparseLayers == [false, true, false])
        let listed = try json("qwen3-moe").replacing(#""mlp_only_layers": []"#, with: #""mlp_only_layers": [1]"#)
        #expect(try configuration(listed).sparseLayers == [true, false, true])
        #expect(try configuration(listed).denseIntermediateSize == 96)
    }

    @Test func gptOSS() throws {
        let model = try configuration(json("gpt-oss"))
        #expect(model.activation == .clamped && model.clamp == .init(slope: 1.702, limit: 7))
        #expect(model.rotary?.yarn?.hasExactRamp == true)
        #expect(model.experts?.hasBiases == true && model.experts?.router.hasLogitBias == true)
        #expect(model.experts?.router.scoring == .softmaxOfChosen)
        let attention = try attention("gpt-oss")
        #expect(attention.hasBias && attention.hasOutputBias == true && attention.hasSinks == true)
        #expect(attention.window == .init(length: 16, layers: [true, false, true, false]))
    }

    /// As gpt-oss-20b is published: older spellings, no slope, layers by turns.
    @Test func publishedGPTOSS() throws {
        let model = try configuration(
            """
            {"architectures": ["GptOssForCausalLM"], "attention_bias": true, "attention_dropout": 0.0,
             "eos_token_id": 200002, "experts_per_token": 4, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2880,
             "initial_context_length": 4096, "initializer_range": 0.02, "intermediate_size": 2880,
             "max_position_embeddings": 131072, "model_type": "gpt_oss", "num_attention_heads": 64,
             "num_experts_per_tok": 4, "num_hidden_layers": 24, "num_key_value_heads": 8, "num_local_experts": 32,
             "output_router_logits": false, "pad_token_id": 199999, "rms_norm_eps": 1e-05,
             "quantization_config": {"modules_to_not_convert": ["model.layers.*.self_attn"], "quant_method": "mxfp4"},
             "rope_scaling": {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0, "rope_type": "yarn",
                              "original_max_position_embeddings": 4096, "truncate": false},
             "rope_theta": 150000, "router_aux_loss_coef": 0.9, "sliding_window": 128, "swiglu_limit": 7.0,
             "tie_word_embeddings": false, "transformers_version": "4.55.0", "use_cache": true, "vocab_size": 201088}
            """)
        #expect(model.clamp == .init(slope: 1.702, limit: 7))
        guard case .grouped(let attention) = model.attention else { throw CancellationError() }
        #expect(attention.window?.length == 128)
        #expect(attention.window?.layers == (0..<24).map { $0.isMultiple(of: 2) })
        #expect(abs((model.rotary?.yarn?.magnitude ?? 0) - 1.3465735902799727) < 1e-12)
    }

    @Test func whatSetsTheOthersApart() throws {
        #expect(try attention("olmoe").headNorm == .whole)
        #expect(try attention("mixtral").headNorm == .none)
        #expect(try attention("mixtral").headSize == 16)
        let partial = try attention("glm4-moe")
        #expect(partial.ropeHeadSize == 8 && partial.hasBias)
        #expect(try attention("deepseek-v1").keyValueHeadCount == 4)
        #expect(try configuration(json("olmoe")).experts?.router.normalizesWeights == false)
        #expect(try configuration(json("mixtral")).experts?.router.normalizesWeights == true)
        #expect(try configuration(json("llama")).experts == nil)
        let glm = try configuration(json("glm4-moe"))
        #expect(glm.experts?.router.scoring == .sigmoid && glm.experts?.sharedIntermediateSize == 32)
    }

    struct Windows: Sendable {
        var name: String
        var changes: [(String, String)]
        /// Of the layers with a window.
        var layers: [Int]
    }

    private static let switchOn = (#""use_sliding_window": false"#, #""use_sliding_window": true"#)
    private static let length = (#""sliding_window": null"#, #""sliding_window": 64"#)
    private static let noTypes = (#"(?s)"layer_types": \[[^\]]*\],"#, "")

    @Test(arguments: [
        Windows(name: "mixtral", changes: [], layers: []),
        Windows(name: "mixtral", changes: [length], layers: [0, 1, 2]),
        Windows(name: "qwen3-moe", changes: [length], layers: []),
        Windows(name: "qwen3-moe", changes: [switchOn], layers: []),
        Windows(name: "qwen3-moe", changes: [switchOn, length], layers: [0, 1, 2]),
        // The names of the layers' attention say what the numbers say otherwise.
        Windows(name: "qwen3", changes: [switchOn, length, (": 28", ": 1")], layers: []),
        Windows(name: "qwen3", changes: [switchOn, length, (": 28", ": 1"), noTypes], layers: [1, 2]),
        Windows(name: "dots1", changes: [length], layers: []),
        Windows(name: "dots1", changes: [length, noTypes], layers: []),
        Windows(name: "dots1", changes: [length, noTypes, (": 62", ": 2")], layers: [2]),
        Windows(name: "gpt-oss", changes: [("16,\n  \"swi", "64,\n  \"swi"), noTypes], layers: [0, 2]),
    ])
    func layersHaveWindows(_ windows: Windows) throws {
        var text = try json(windows.name)
        for (old, new) in windows.changes {
            let changed = try text.replacing(Regex(old), with: new)
            try #require(changed != text, "\(old)")
            text = changed
        }
        guard case .grouped(let attention) = try configuration(text).attention else { throw CancellationError() }
        #expect(attention.window?.length ?? 64 == 64)
        let layers = attention.window?.layers ?? []
        #expect(layers.indices.filter { layers[$0] } == windows.layers)
    }

    /// In every family but GLM's the output's projection has a bias with the others.
    @Test(arguments: ["llama", "qwen3", "qwen3-moe", "olmoe", "dots1", "deepseek-v1", "gpt-oss", "glm4-moe"])
    func attentionMayHaveBiases(name: String) throws {
        for value in [false, true] {
            let text = try json(name).replacing(
                try Regex(#""attention_bias": (true|false)"#), with: #""attention_bias": \#(value)"#)
            guard case .grouped(let attention) = try configuration(text).attention else { throw CancellationError() }
            #expect(attention.hasBias == value)
            #expect((attention.hasOutputBias == true) == (value && name != "glm4-moe"))
        }
    }

    /// mscale_all_dim is latent attention's; here cosine and sine get their share of it, and the softmax doesn't.
    @Test(arguments: [
        (#""mscale": 0.7, "mscale_all_dim": 0.9"#, 1.097_041 / 1.124_767), (#""mscale": 0.7"#, 1.138_629),
        (#""mscale_all_dim": 0.9"#, 1.138_629), (#""attention_factor": 1.3"#, 1.3),
    ])
    func magnitudesOfYaRN(keys: String, magnitude: Double) throws {
        let scaling = #""rope_type": "yarn", "factor": 4, \#(keys)"#
        let model = try configuration(json("qwen3-moe").replacing(#""rope_type": "default""#, with: scaling))
        #expect(abs((model.rotary?.yarn?.magnitude ?? 0) - magnitude) < 1e-6)
        #expect(model.rotary?.yarn?.originalContextLength == 512, "the context's length, where there is no other")
        guard case .grouped(let attention) = model.attention else { throw CancellationError() }
        #expect(attention.softmaxScale == 0.25)
    }

    /// What the reference implementations take for keys that published configurations lack.
    @Test func absentKeys() throws {
        let llama = try json("llama").replacing(#""rope_theta": 10000.0,"#, with: "")
        #expect(try configuration(llama).rotary?.theta == 10000)
        let glm = try json("glm4-moe").replacing(#""partial_rotary_factor": 0.5,"#, with: "")
        guard case .grouped(let attention) = try configuration(glm).attention else { throw CancellationError() }
        #expect(attention.ropeHeadSize == 8)
        let lite = try json("glm4-moe-lite").replacing(#""first_k_dense_replace": 1,"#, with: "")
            .replacing(#""dense",\#n    "sparse""#, with: #""sparse",\#n    "dense""#)
        #expect(try configuration(lite).sparseLayers == [true, false, true])
    }

    @Test(arguments: [
        ("qwen3-moe", #""num_key_value_heads": 2"#, #""num_key_value_heads": 3"#),
        ("qwen3-moe", #""num_experts_per_tok": 4"#, #""num_experts_per_tok": 17"#),
        ("qwen3-moe", #""mlp_only_layers": []"#, #""mlp_only_layers": [3]"#),
        ("qwen3-moe", #""head_dim": 16"#, #""head_dim": 15"#),
        ("qwen3-moe", #""hidden_act": "silu""#, #""hidden_act": "gelu""#),
        ("qwen3-moe", #""rope_type": "default""#, #""rope_type": "default", "partial_rotary_factor": 0.5"#),
        ("olmoe", #""clip_qkv": null"#, #""clip_qkv": 8"#),
        ("mixtral", #""sliding_window": null"#, #""sliding_window": 0"#),
        ("mixtral", #""sliding_window": null"#, #""attention_bias": true"#),
        ("olmoe", #""clip_qkv": null"#, #""clip_qkv": null, "sliding_window": 16"#),
        ("qwen3", #""layer_types": ["#, #""layer_types": ["sliding_attention","#),
        ("qwen3", #""layer_types": [\#n    "full"#, #""layer_types": [\#n    "sliding"#),
        ("llama", #""mlp_bias": false"#, #""mlp_bias": true"#),
        ("gpt-oss", #"    "sliding_attention",\#n    "full_attention"\#n"#, #"    "sliding_attention"\#n"#),
        ("gpt-oss", #""sliding_window": 16"#, #""sliding_window": null"#),
        ("glm4-moe-lite", #""sparse",\#n    "sparse""#, #""sparse",\#n    "dense""#),
        ("glm4-moe-lite", #""qk_head_dim": 32"#, #""qk_head_dim": 16"#),
        ("glm4-moe", #""partial_rotary_factor": 0.5"#, #""partial_rotary_factor": 0.01"#),
    ])
    func whatIsNotSupportedIsNamed(name: String, old: String, new: String) throws {
        let text = try json(name)
        try #require(text.contains(old))
        let error = #expect(throws: CheckpointError.self) { try configuration(text.replacing(old, with: new)) }
        #expect(error?.code == .configuration)
        #expect(error?.key != nil)
    }
}

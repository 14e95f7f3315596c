import Checkpoint
import Container
import FoundationEssentials
import TestSupport
import Testing

@Suite("config.json in canonical terms")
struct ConfigurationTests {
    private func configuration(_ directory: String) throws -> ModelConfiguration {
        try Checkpoint.configuration(json: [UInt8](try Data(contentsOf: URL(filePath: "\(directory)/config.json"))))
    }

    private func latent(_ configuration: ModelConfiguration) throws -> ModelConfiguration.LatentAttention {
        guard case .latent(let attention) = configuration.attention else {
            throw CancellationError()
        }
        return attention
    }

    @Test func deepSeekV3() throws {
        let model = try configuration(Fixtures.checkpoint("deepseek-v3"))
        #expect(model.family == "deepseek_v3")
        #expect(model.vocabularySize == 256 && model.hiddenSize == 64 && model.layerCount == 3)
        #expect(model.contextLength == 512 && model.normEpsilon == 1e-6)
        #expect(model.denseIntermediateSize == 96)
        #expect(model.sparseLayers == [false, true, true])
        #expect(model.beginToken == 0 && model.endTokens == [1])
        let attention = try latent(model)
        #expect(attention.headCount == 4 && attention.queryLatentRank == 64 && attention.keyValueLatentRank == 32)
        #expect(attention.plainHeadSize == 16 && attention.ropeHeadSize == 16 && attention.valueHeadSize == 16)
        #expect(attention.latentNormEpsilon == 1e-6)
        // (0.1 ln 8 + 1)² / √32
        #expect(abs(attention.softmaxScale - 0.257_940_0) < 1e-6)
        #expect(model.rotary?.theta == 10000 && model.rotary?.pairing == .interleaved)
        #expect(
            model.rotary?.yarn
                == .init(factor: 8, originalContextLength: 64, betaFast: 32, betaSlow: 1, magnitude: 1))
        #expect(
            model.experts
                == .init(
                    routedExpertCount: 16, expertsPerToken: 4, intermediateSize: 32, sharedIntermediateSize: 32,
                    router: .init(
                        scoring: .sigmoid, hasSelectionBias: true, groupCount: 4, groupsPerToken: 2,
                        groupScore: .topTwoSum, normalizesWeights: true, weightScale: 2.5)))
    }

    @Test func moonlight() throws {
        let model = try configuration(Fixtures.checkpoint("moonlight"))
        #expect(model.normEpsilon == 1e-5)
        let attention = try latent(model)
        #expect(attention.latentNormEpsilon == 1e-6, "the latents' norms don't follow rms_norm_eps")
        #expect(attention.queryLatentRank == nil)
        #expect(abs(attention.softmaxScale - 0.176_776_7) < 1e-6)
        #expect(model.rotary?.theta == 50000 && model.rotary?.yarn == nil)
        #expect(model.experts?.sharedIntermediateSize == 64, "two shared experts are one of twice the width")
        #expect(model.experts?.router.groupCount == 1 && model.experts?.router.weightScale == 2.446)
    }

    @Test func deepSeekV2() throws {
        let model = try configuration(Fixtures.checkpoint("deepseek-v2"))
        #expect(model.family == "deepseek_v2")
        #expect(
            model.experts?.router
                == .init(
                    scoring: .softmax, hasSelectionBias: false, groupCount: 4, groupsPerToken: 2,
                    groupScore: .maximum, normalizesWeights: false, weightScale: 16))
        let lite = try configuration(Fixtures.checkpoint("deepseek-v2-lite"))
        #expect(lite.experts?.router.groupCount == 1 && lite.experts?.router.groupsPerToken == 1)
        #expect(try latent(lite).queryLatentRank == nil)
        // (0.0707 ln 8 + 1)² / √32
        #expect(try abs(latent(lite).softmaxScale - 0.232_575_7) < 1e-6)
    }

    /// V2 normalises or scales, never both.
    @Test func normalisedWeightsOfV2AreNotScaled() throws {
        let path = "\(Fixtures.checkpoint("deepseek-v2"))/config.json"
        let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
        let normalising = text.replacing("\"norm_topk_prob\": false", with: "\"norm_topk_prob\": true")
        #expect(normalising != text)
        let router = try Checkpoint.configuration(json: [UInt8](normalising.utf8)).experts?.router
        #expect(router?.normalizesWeights == true && router?.weightScale == 1)
    }

    /// V2 knows no other pairs than those of neighbours.
    @Test func pairsOfTheRotation() throws {
        let key = #""vocab_size": 129280"#
        let halves = publishedV3.replacing(key, with: key + #", "rope_interleave": false"#)
        #expect(try Checkpoint.configuration(json: [UInt8](halves.utf8)).rotary?.pairing == .halves)
        var edited = try EditedCheckpoint("deepseek-v2-lite")
        edited.replace(#""use_cache": true"#, with: #""rope_interleave": false"#)
        #expect(try edited.failure()?.key == "rope_interleave")
    }

    @Test(arguments: [
        ("\"group_limited_greedy\"", "\"noaux_tc\"", "topk_method"),
        ("\"topk_method\": \"group_limited_greedy\",", "", "topk_method"),
        ("\"softmax\"", "\"sigmoid\"", "scoring_func"), ("\"n_group\": 4", "\"n_group\": 3", "n_group"),
        ("\"topk_group\": 2", "\"topk_group\": 5", "topk_group"),
    ])
    func aKeyOfV2ThatIsNotUnderstoodIsNamed(old: String, new: String, key: String) throws {
        let path = "\(Fixtures.checkpoint("deepseek-v2"))/config.json"
        let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
        #expect(text.contains(old))
        let error = #expect(throws: CheckpointError.self) {
            try Checkpoint.configuration(json: [UInt8](text.replacing(old, with: new).utf8))
        }
        #expect(error?.code == .configuration && error?.key == key)
    }

    @Test func demonstrationModel() throws {
        let model = try configuration(Fixtures.demo)
        #expect(model.layerCount == 5 && model.hiddenSize == 256 && model.experts?.routedExpertCount == 32)
        // (0.1 ln 4 + 1)² / √48
        #expect(try abs(latent(model).softmaxScale - 0.187_130_3) < 1e-6)
    }

    @Test func publishedDeepSeekV3() throws {
        let model = try Checkpoint.configuration(json: [UInt8](publishedV3.utf8))
        // 192^-0.5 · 1.8738
        #expect(try abs(latent(model).softmaxScale - 0.135_234) < 1e-5)
        #expect(model.sparseLayers.prefix(4) == [false, false, false, true])
    }

    @Test func bothSpellingsSayTheSame() throws {
        let newer =
            publishedV3
            .replacing("\"rope_scaling\"", with: "\"rope_parameters\"")
            .replacing("\"type\": \"yarn\"", with: "\"rope_type\": \"yarn\", \"rope_theta\": 10000.0")
            .replacing("\"rope_theta\": 10000,", with: "")
            .replacing("torch_dtype", with: "dtype")
            .replacing("\"factor\": 40", with: "\"factor\": 40.0")
            .replacing("\"beta_fast\": 32", with: "\"beta_fast\": 32.0")
        #expect(newer.contains("rope_parameters") && newer.contains("rope_type") && newer.contains("\"dtype\""))
        #expect(
            try Checkpoint.configuration(json: [UInt8](newer.utf8))
                == Checkpoint.configuration(json: [UInt8](publishedV3.utf8)))
    }

    /// mscale and mscale_all_dim differ: cosine and sine get their quotient, the softmax the latter's square.
    @Test func magnitudesOfYaRN() throws {
        let text = publishedV3.replacing("\"mscale_all_dim\": 1.0", with: "\"mscale_all_dim\": 0.707")
        let model = try Checkpoint.configuration(json: [UInt8](text.utf8))
        // 1.368888 / 1.260804
        #expect(abs((model.rotary?.yarn?.magnitude ?? 0) - 1.085_726) < 1e-5)
        // 192^-0.5 · 1.5896
        #expect(try abs(latent(model).softmaxScale - 0.114_722) < 1e-5)
    }

    @Test(arguments: [
        ("\"attention_bias\": false", "\"attention_bias\": true", "attention_bias"),
        ("\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "hidden_act"),
        ("\"topk_method\": \"noaux_tc\"", "\"topk_method\": \"greedy\"", "topk_method"),
        ("\"scoring_func\": \"sigmoid\"", "\"scoring_func\": \"softmax\"", "scoring_func"),
        ("\"type\": \"yarn\"", "\"type\": \"dynamic\"", "rope_scaling.type"),
        ("\"type\": \"yarn\"", "\"type\": \"yarn\", \"long_factor\": 2", "rope_scaling.long_factor"),
        ("\"factor\": 40,", "", "rope_scaling.factor"),
        ("\"factor\": 40,", "\"factor\": \"40\",", "rope_scaling.factor"),
        ("\"vocab_size\": 129280", "\"vocab_size\": 129280, \"logit_soft_cap\": 30.0", "logit_soft_cap"),
        ("\"vocab_size\": 129280", "\"vocab_size\": 1e30", "vocab_size"),
        ("\"vocab_size\": 129280", "\"vocab_size\": 0", "vocab_size"),
        ("\"hidden_size\": 7168,", "", "hidden_size"),
        ("\"hidden_size\": 7168", "\"hidden_size\": 7168.5", "hidden_size"),
        ("\"n_group\": 8", "\"n_group\": 7", "n_group"),
        ("\"n_group\": 8", "\"n_group\": 256", "n_group"),
        ("\"topk_group\": 4", "\"topk_group\": 9", "topk_group"),
        ("\"num_experts_per_tok\": 8", "\"num_experts_per_tok\": 300", "num_experts_per_tok"),
        ("\"num_key_value_heads\": 128", "\"num_key_value_heads\": 8", "num_key_value_heads"),
        ("\"qk_rope_head_dim\": 64", "\"qk_rope_head_dim\": 63", "qk_rope_head_dim"),
        ("\"norm_topk_prob\": true", "\"norm_topk_prob\": 1", "norm_topk_prob"),
        ("\"eos_token_id\": 1", "\"eos_token_id\": 129280", "eos_token_id"),
        ("\"quant_method\": \"fp8\"", "\"quant_method\": \"awq\"", "quantization_config.quant_method"),
        ("\"fmt\": \"e4m3\"", "\"fmt\": \"e5m2\"", "quantization_config.fmt"),
        ("\"fmt\": \"e4m3\"", "\"fmt\": \"e4m3\", \"zero_point\": true", "quantization_config.zero_point"),
        ("[128, 128]", "[0, 128]", "quantization_config.weight_block_size"),
        ("[128, 128]", "128", "quantization_config.weight_block_size"),
    ])
    func aKeyThatIsNotUnderstoodIsNamed(old: String, new: String, key: String) throws {
        #expect(publishedV3.contains(old))
        let error = #expect(throws: CheckpointError.self) {
            try Checkpoint.configuration(json: [UInt8](publishedV3.replacing(old, with: new).utf8))
        }
        #expect(error?.code == .configuration)
        #expect(error?.key == key)
    }

    @Test(arguments: ["qwen2_moe", "", "deepseek_v4"])
    func anotherFamilyIsRefusedByName(family: String) throws {
        let text = publishedV3.replacing("deepseek_v3", with: family)
        let error = #expect(throws: CheckpointError.self) { try Checkpoint.configuration(json: [UInt8](text.utf8)) }
        #expect(error?.code == .unsupportedFamily)
        #expect(error?.description.contains("\"\(family)\"") == true)
        #expect(error?.description.contains("\"deepseek_v3\"") == true, "the supported ones are listed")
    }

    @Test(arguments: [
        ("lfm2_moe", "short convolutions"), ("qwen3_next", "linear attention"), ("jamba", "state-space models"),
        ("deepseek_v32", "an indexer"), ("kimi_k25", "sees images"),
    ])
    func aFamilyThatPeopleHaveIsRefusedWithTheReason(family: String, reason: String) throws {
        let text = publishedV3.replacing("deepseek_v3", with: family)
        let error = #expect(throws: CheckpointError.self) { try Checkpoint.configuration(json: [UInt8](text.utf8)) }
        #expect(error?.code == .unsupportedFamily)
        #expect(error?.description.contains(reason) == true)
    }

    @Test(arguments: [
        "", "{", "[]", "{\"model_type\": \"deepseek_v3\",}", "{\"a\": 1, \"a\": 2}", "{\"a\": NaN}", "{\"a\": 01}",
        "{\"a\": \"\\ud800\"}", "{\"a\": \"\u{1}\"}", "{} {}", "nul", "{\"a\" 1}", "{'a': 1}", "{\"a\": 1e999}",
        String(repeating: "[", count: 100_000), String(repeating: "{\"a\":", count: 100_000),
    ])
    func malformedTextIsAnError(text: String) throws {
        #expect(throws: CheckpointError.self) { try Checkpoint.configuration(json: [UInt8](text.utf8)) }
    }
}

/// The values of the published DeepSeek-V3, with 61 layers.
let publishedV3 = """
    {"architectures": ["DeepseekV3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
     "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config"}, "aux_loss_alpha": 0.001,
     "bos_token_id": 0, "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": 3, "hidden_act": "silu",
     "hidden_size": 7168, "initializer_range": 0.02, "intermediate_size": 18432, "kv_lora_rank": 512,
     "max_position_embeddings": 163840, "model_type": "deepseek_v3", "moe_intermediate_size": 2048,
     "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": true,
     "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
     "num_nextn_predict_layers": 1, "pretraining_tp": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128,
     "qk_rope_head_dim": 64,
     "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
       "weight_block_size": [128, 128]},
     "rms_norm_eps": 1e-06,
     "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
       "original_max_position_embeddings": 4096, "type": "yarn"},
     "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "seq_aux": true,
     "tie_word_embeddings": false, "topk_group": 4, "topk_method": "noaux_tc", "torch_dtype": "bfloat16",
     "transformers_version": "4.33.1", "use_cache": true, "v_head_dim": 128, "vocab_size": 129280}
    """

import Container
import JSON

/// What decoders with grouped attention have in common, from Llama on: the attention, the rotary embedding, the sizes.
enum GroupedDecoder {
    /// What a family says of its layers behind the attention.
    struct FeedForward {
        var denseIntermediateSize = 0
        /// One for each layer.
        var sparseLayers: [Bool]
        var experts: ModelConfiguration.Experts?

        /// Dense throughout.
        static func dense(_ reader: ConfigurationReader, layerCount: Int) throws(CheckpointError) -> FeedForward {
            FeedForward(
                denseIntermediateSize: try reader.count("intermediate_size", in: 1...1 << 20),
                sparseLayers: Array(repeating: false, count: layerCount))
        }
    }

    /// What sets the families' attention apart.
    struct Traits {
        var headNorm = ModelConfiguration.GroupedAttention.HeadNorm.none
        /// What it means that `attention_bias` is absent.
        var hasBiasByDefault = false
        /// Whether the biases are the output's projection's too.
        var biasReachesOutput = true
        /// Where the configuration has no `rope_theta`; nil: it must.
        var defaultTheta: Double?
        /// The part of a head that is rotated where the configuration doesn't say; nil: always all of it.
        var partialRotation: Double?
        /// nil: there are none.
        var windows: WindowReading.Layers?
        var hasWindowsByDefault = true
    }

    /// - Parameters:
    ///   - traits: of the family's attention.
    ///   - readFeedForward: reads what follows the attention, for a number of layers.
    ///   - nameOfTensor, nameOfExpert: nil for the common names.
    static func read(
        _ reader: ConfigurationReader, modelType: String, _ traits: Traits,
        nameOfTensor: ((TensorKey, _ sharesEmbedding: Bool) -> String)? = nil,
        nameOfExpert: ((ExpertPart, ExpertKey) -> String)? = nil,
        readFeedForward: (ConfigurationReader, _ layerCount: Int) throws(CheckpointError) -> FeedForward
    ) throws(CheckpointError) -> FamilyReading {
        reader.ignore(IgnoredKeys.all)
        let encoding = try WeightEncoding(reader)
        let layerCount = try reader.count("num_hidden_layers", in: 1...4096)
        let contextLength = try reader.count("max_position_embeddings", in: 1...1 << 28)
        let vocabularySize = try reader.count("vocab_size", in: 1...1 << 24)
        let hiddenSize = try reader.count("hidden_size", in: 1...1 << 20)
        let rotary = try RotaryReading(
            reader, contextLength: contextLength, pairing: .halves, defaultTheta: traits.defaultTheta,
            partialFactor: traits.partialRotation)
        var attention = try readAttention(reader, hiddenSize: hiddenSize, rotary, traits)
        attention.window = try WindowReading.read(
            reader, layerCount: layerCount, traits.windows, isOnByDefault: traits.hasWindowsByDefault)
        try reader.mustBe("hidden_act", .string("silu"))
        try reader.mustBe("mlp_bias", .bool(false))
        let sharesEmbedding = try reader.boolIfPresent("tie_word_embeddings") ?? false
        let predictionLayerCount = try reader.countIfPresent("num_nextn_predict_layers", in: 0...64) ?? 0
        let feedForward = try readFeedForward(reader, layerCount)
        let isSparse = feedForward.sparseLayers.contains(true)
        let configuration = ModelConfiguration(
            family: modelType, vocabularySize: vocabularySize, hiddenSize: hiddenSize, layerCount: layerCount,
            contextLength: contextLength, normEpsilon: Float(try reader.number("rms_norm_eps")),
            attention: .grouped(attention), rotary: rotary.rotary(headSize: attention.ropeHeadSize), activation: .silu,
            denseIntermediateSize: feedForward.sparseLayers.contains(false) ? feedForward.denseIntermediateSize : 0,
            sparseLayers: feedForward.sparseLayers, experts: isSparse ? feedForward.experts : nil,
            beginToken: try reader.tokens("bos_token_id", below: vocabularySize).first,
            endTokens: try reader.tokens("eos_token_id", below: vocabularySize))
        return FamilyReading(
            configuration: configuration, encoding: encoding,
            nameOfTensor: {
                nameOfTensor?($0, sharesEmbedding) ?? CommonNames.name(of: $0, sharesEmbedding: sharesEmbedding)
            },
            nameOfExpert: nameOfExpert ?? CommonNames.name(of:_:),
            skipped: CommonNames.skipped(sharesEmbedding: sharesEmbedding), predictionLayerCount: predictionLayerCount)
    }

    private static func readAttention(
        _ reader: ConfigurationReader, hiddenSize: Int, _ rotary: RotaryReading, _ traits: Traits
    ) throws(CheckpointError) -> ModelConfiguration.GroupedAttention {
        let headCount = try reader.count("num_attention_heads", in: 1...1 << 12)
        let keyValueHeadCount = try reader.countIfPresent("num_key_value_heads", in: 1...headCount) ?? headCount
        guard headCount.isMultiple(of: keyValueHeadCount) else {
            throw reader.failure(
                "num_key_value_heads", "doesn't divide the heads into groups", expected: "a divisor of \(headCount)",
                found: .integer(keyValueHeadCount))
        }
        var headSize = hiddenSize / headCount
        if let size = try reader.countIfPresent("head_dim", in: 2...1 << 13) {
            headSize = size
        } else if headCount * headSize != hiddenSize {
            throw reader.failure(
                "num_attention_heads", "doesn't divide the hidden size, and there is no head_dim",
                expected: "a divisor of \(hiddenSize)", found: .integer(headCount))
        }
        let ropeHeadSize = Int(Double(headSize) * rotary.partialFactor)
        guard ropeHeadSize >= 2, ropeHeadSize.isMultiple(of: 2) else {
            throw reader.failure(
                "head_dim", "the rotated part of a head can't be split into pairs", found: .integer(ropeHeadSize))
        }
        let hasBias = try reader.boolIfPresent("attention_bias") ?? traits.hasBiasByDefault
        var attention = ModelConfiguration.GroupedAttention(
            headCount: headCount, keyValueHeadCount: keyValueHeadCount, headSize: headSize,
            ropeHeadSize: ropeHeadSize, hasBias: hasBias, headNorm: traits.headNorm,
            softmaxScale: Float(1 / Double(headSize).squareRoot()))
        if hasBias, traits.biasReachesOutput { attention.hasOutputBias = true }
        return attention
    }
}

extension ModelConfiguration.Router {
    /// A softmax over all experts, of which the best are taken.
    static func softmax(normalizesWeights: Bool) -> Self {
        .init(
            scoring: .softmax, hasSelectionBias: false, groupCount: 1, groupsPerToken: 1, groupScore: .maximum,
            normalizesWeights: normalizesWeights, weightScale: 1)
    }
}

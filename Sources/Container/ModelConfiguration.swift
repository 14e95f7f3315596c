/// What the forward pass needs to know of a model, whatever family it came from.
///
/// `Checkpoint` makes it from a family's `config.json`; the container stores it; the daemon knows no other. Every
/// value that changes the arithmetic stands here explicitly, so nothing is defaulted when it is read back.
package struct ModelConfiguration: Codable, Sendable, Equatable {
    /// The checkpoint's `model_type`: for people, never for arithmetic.
    package var family: String
    package var vocabularySize: Int
    package var hiddenSize: Int
    package var layerCount: Int
    /// Positions that the rotary embedding was made for.
    package var contextLength: Int
    /// Epsilon of the layers' norms and of the final one.
    package var normEpsilon: Float
    package var attention: Attention
    /// nil where the positions enter otherwise.
    package var rotary: Rotary?
    package var activation: Activation
    /// nil unless the activation is `clamped`.
    package var clamp: Clamp?
    /// Width of the dense layers' feed-forward; 0 when there is none.
    package var denseIntermediateSize: Int
    /// Whether layer i is sparse. `layerCount` long.
    package var sparseLayers: [Bool]
    /// nil for a dense model.
    package var experts: Experts?
    package var beginToken: Int?
    package var endTokens: [Int]
    /// Layers behind the last one, which predict tokens further on (DeepSeek-V3, arXiv 2412.19437, §2.2). They are stored,
    /// and no forward pass reads them; nil: there are none.
    package var predictionLayers: [PredictionLayer]?
    /// nil for a decoder alone.
    package var encoder: Encoder?

    package init(
        family: String, vocabularySize: Int, hiddenSize: Int, layerCount: Int, contextLength: Int, normEpsilon: Float,
        attention: Attention, rotary: Rotary?, activation: Activation, denseIntermediateSize: Int,
        sparseLayers: [Bool], experts: Experts?, beginToken: Int?, endTokens: [Int], encoder: Encoder? = nil
    ) {
        self.family = family
        self.vocabularySize = vocabularySize
        self.hiddenSize = hiddenSize
        self.layerCount = layerCount
        self.contextLength = contextLength
        self.normEpsilon = normEpsilon
        self.attention = attention
        self.rotary = rotary
        self.activation = activation
        clamp = nil
        self.denseIntermediateSize = denseIntermediateSize
        self.sparseLayers = sparseLayers
        self.experts = experts
        self.beginToken = beginToken
        self.endTokens = endTokens
        self.encoder = encoder
    }

    package enum Activation: String, Codable, Sendable {
        /// `silu(gate) · up`.
        case silu
        /// `g / (1 + exp(−slope · g)) · (u + 1)`, with g = min(gate, limit), and u = up cut off at ±limit.
        case clamped
        /// `relu(up)`: there is no gate.
        case relu

        package var isGated: Bool { self != .relu }
    }

    package struct Clamp: Codable, Sendable, Equatable {
        package var slope: Float
        package var limit: Float

        package init(slope: Float, limit: Float) {
            self.slope = slope
            self.limit = limit
        }
    }

    /// A layer as the last one is, with norms of the next token's embedding and of the hidden state, a projection of both,
    /// and a norm before the head.
    package struct PredictionLayer: Codable, Sendable, Equatable {
        /// Whether its embedding and its head are other ones than the model's.
        package var hasOwnEmbedding: Bool
        package var hasOwnHead: Bool

        package init(hasOwnEmbedding: Bool, hasOwnHead: Bool) {
            self.hasOwnEmbedding = hasOwnEmbedding
            self.hasOwnHead = hasOwnHead
        }
    }

    package enum Attention: Codable, Sendable, Equatable {
        case latent(LatentAttention)
        case grouped(GroupedAttention)
        case relative(RelativeAttention)

        /// Elements of a head that the rotary embedding turns; nil where there is none.
        package var ropeHeadSize: Int? {
            switch self {
            case .latent(let attention): attention.ropeHeadSize
            case .grouped(let attention): attention.ropeHeadSize
            case .relative: nil
            }
        }
    }

    /// What stands before the decoder in an encoder-decoder (T5, arXiv 1910.10683). The first layers are the encoder's, in
    /// which every token sees every other; the decoder's also attend to what the encoder made of the input.
    package struct Encoder: Codable, Sendable, Equatable {
        package var layerCount: Int
        /// What the decoder begins every answer with.
        package var startToken: Int
        /// Multiplies the normed states before the output head.
        package var outputScale: Float
        /// Whether it embeds tokens by a matrix that isn't the decoder's; nil: no.
        package var hasOwnEmbedding: Bool?

        package init(layerCount: Int, startToken: Int, outputScale: Float) {
            self.layerCount = layerCount
            self.startToken = startToken
            self.outputScale = outputScale
        }
    }

    /// Attention that knows how far two positions are apart by a bias on its scores, one for a range of distances
    /// (T5, arXiv 1910.10683, §2.1), in all layers of the encoder the same, and of the decoder.
    package struct RelativeAttention: Codable, Sendable, Equatable {
        package var headCount: Int
        package var headSize: Int
        /// relative_attention_num_buckets.
        package var bucketCount: Int
        /// relative_attention_max_distance: from here on all distances are alike.
        package var greatestDistance: Int

        package init(headCount: Int, headSize: Int, bucketCount: Int, greatestDistance: Int) {
            self.headCount = headCount
            self.headSize = headSize
            self.bucketCount = bucketCount
            self.greatestDistance = greatestDistance
        }

        /// Elements of all heads.
        package var size: Int { headCount * headSize }
    }

    /// Attention whose heads share keys and values in groups (arXiv 2305.13245): query head i has those of head
    /// i / (headCount / keyValueHeadCount). With one head a group it is plain multi-head attention.
    package struct GroupedAttention: Codable, Sendable, Equatable {
        package var headCount: Int
        package var keyValueHeadCount: Int
        package var headSize: Int
        /// A head's first elements, which the rotary embedding turns.
        package var ropeHeadSize: Int
        /// Whether the projections of queries, keys and values have biases.
        package var hasBias: Bool
        /// Queries and keys are normed before they are rotated, with `normEpsilon`.
        package var headNorm: HeadNorm
        /// Multiplies the dot products before the softmax, YaRN's mscale² included.
        package var softmaxScale: Float
        /// Whether the output's projection has a bias; nil: no.
        package var hasOutputBias: Bool?
        /// Whether each head has a score of its own (`TensorRole.sinks`) that takes part in the softmax and has no value;
        /// nil: no.
        package var hasSinks: Bool?
        /// nil: every layer sees everything.
        package var window: Window?

        /// A limit to how far back some layers see.
        package struct Window: Codable, Sendable, Equatable {
            /// Positions that a token sees, its own included.
            package var length: Int
            /// Whether layer i has the limit. `layerCount` long.
            package var layers: [Bool]

            package init(length: Int, layers: [Bool]) {
                self.length = length
                self.layers = layers
            }
        }

        package init(
            headCount: Int, keyValueHeadCount: Int, headSize: Int, ropeHeadSize: Int, hasBias: Bool,
            headNorm: HeadNorm, softmaxScale: Float
        ) {
            self.headCount = headCount
            self.keyValueHeadCount = keyValueHeadCount
            self.headSize = headSize
            self.ropeHeadSize = ropeHeadSize
            self.hasBias = hasBias
            self.headNorm = headNorm
            self.softmaxScale = softmaxScale
        }

        package enum HeadNorm: String, Codable, Sendable {
            case none
            /// Each head by itself, with one weight for all: [headSize].
            case perHead
            /// All heads together: [heads · headSize].
            case whole
        }
    }

    /// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, §2.1).
    package struct LatentAttention: Codable, Sendable, Equatable {
        package var headCount: Int
        /// q_lora_rank; nil when the query is projected directly.
        package var queryLatentRank: Int?
        /// kv_lora_rank.
        package var keyValueLatentRank: Int
        /// qk_nope_head_dim.
        package var plainHeadSize: Int
        /// qk_rope_head_dim.
        package var ropeHeadSize: Int
        /// v_head_dim.
        package var valueHeadSize: Int
        /// Epsilon of the latents' norms, which isn't `normEpsilon` in the DeepSeek family.
        package var latentNormEpsilon: Float
        /// Multiplies the dot products before the softmax, YaRN's mscale² included.
        package var softmaxScale: Float

        package init(
            headCount: Int, queryLatentRank: Int?, keyValueLatentRank: Int, plainHeadSize: Int, ropeHeadSize: Int,
            valueHeadSize: Int, latentNormEpsilon: Float, softmaxScale: Float
        ) {
            self.headCount = headCount
            self.queryLatentRank = queryLatentRank
            self.keyValueLatentRank = keyValueLatentRank
            self.plainHeadSize = plainHeadSize
            self.ropeHeadSize = ropeHeadSize
            self.valueHeadSize = valueHeadSize
            self.latentNormEpsilon = latentNormEpsilon
            self.softmaxScale = softmaxScale
        }
    }

    package struct Rotary: Codable, Sendable, Equatable {
        package var theta: Double
        package var pairing: Pairing
        /// nil without position scaling of this kind.
        package var yarn: YaRN?
        /// What each pair's frequency is divided by, [ropeHeadSize / 2], for scaling of other kinds; nil: by nothing.
        package var divisors: [Float]?

        package init(theta: Double, pairing: Pairing, yarn: YaRN?) {
            self.theta = theta
            self.pairing = pairing
            self.yarn = yarn
        }

        package enum Pairing: String, Codable, Sendable {
            /// (x0, x1), (x2, x3) …
            case interleaved
            /// (x0, x[d/2]), (x1, x[d/2 + 1]) …
            case halves
        }

        /// YaRN (arXiv 2309.00071): the frequencies are interpolated by a ramp.
        package struct YaRN: Codable, Sendable, Equatable {
            package var factor: Double
            package var originalContextLength: Int
            package var betaFast: Double
            package var betaSlow: Double
            /// Multiplies cosine and sine: m(factor, mscale) / m(factor, mscale_all_dim).
            package var magnitude: Double
            /// Whether the ramp's ends are left as they are computed; nil: they are rounded to whole pairs.
            package var hasExactRamp: Bool?

            package init(
                factor: Double, originalContextLength: Int, betaFast: Double, betaSlow: Double, magnitude: Double
            ) {
                self.factor = factor
                self.originalContextLength = originalContextLength
                self.betaFast = betaFast
                self.betaSlow = betaSlow
                self.magnitude = magnitude
            }
        }
    }

    package struct Experts: Codable, Sendable, Equatable {
        package var routedExpertCount: Int
        package var expertsPerToken: Int
        /// Width of one routed expert.
        package var intermediateSize: Int
        /// Width of the shared experts' one feed-forward; 0 when there is none.
        package var sharedIntermediateSize: Int
        package var router: Router
        /// Whether a routed expert's matrices have biases; nil: no.
        package var hasBiases: Bool?

        package init(
            routedExpertCount: Int, expertsPerToken: Int, intermediateSize: Int, sharedIntermediateSize: Int,
            router: Router
        ) {
            self.routedExpertCount = routedExpertCount
            self.expertsPerToken = expertsPerToken
            self.intermediateSize = intermediateSize
            self.sharedIntermediateSize = sharedIntermediateSize
            self.router = router
        }
    }

    /// How scores become experts and weights. Everything is computed in f32; ties go to the lower index.
    package struct Router: Codable, Sendable, Equatable {
        package var scoring: Scoring
        /// A bias (`TensorRole.routerBias`) is added to the scores for the choice, never for the weights.
        package var hasSelectionBias: Bool
        package var groupCount: Int
        /// Groups that stay in the choice; the others' experts count as minus infinity.
        package var groupsPerToken: Int
        package var groupScore: GroupScore
        /// The chosen weights are divided by their sum (plus 1e-20).
        package var normalizesWeights: Bool
        /// Multiplies the weights after normalisation.
        package var weightScale: Float
        /// Whether a bias (`TensorRole.routerLogitBias`) is added to the logits before anything else; nil: no.
        package var hasLogitBias: Bool?
        /// Tokens of one sequence that an expert takes; those that come later do without it. nil for any number.
        package var capacity: Int?

        package init(
            scoring: Scoring, hasSelectionBias: Bool, groupCount: Int, groupsPerToken: Int, groupScore: GroupScore,
            normalizesWeights: Bool, weightScale: Float, capacity: Int? = nil
        ) {
            self.scoring = scoring
            self.hasSelectionBias = hasSelectionBias
            self.groupCount = groupCount
            self.groupsPerToken = groupsPerToken
            self.groupScore = groupScore
            self.normalizesWeights = normalizesWeights
            self.weightScale = weightScale
            self.capacity = capacity
        }

        package enum Scoring: String, Codable, Sendable {
            case softmax
            case sigmoid
            /// The logits themselves choose, and the weights are a softmax over those that were chosen: a softmax before
            /// the choice, made to sum to one, but for rounding.
            case softmaxOfChosen
        }

        package enum GroupScore: String, Codable, Sendable {
            /// The group's best expert.
            case maximum
            /// The sum of the group's two best experts.
            case topTwoSum
        }
    }
}

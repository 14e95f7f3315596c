import Compute
import Container

/// Where the forward pass's intermediate results stand in one allocation, for chunks of at most `chunk` tokens.
///
/// Counts are of floats unless the name says otherwise. What isn't alive at the same time still has a place of its
/// own: the sum is small beside the experts, and every buffer keeps one meaning.
struct ScratchLayout {
    let chunk: Int
    /// Rows that feed-forwards compute together: a chunk's tokens, or all experts of one token.
    let rowCount: Int
    /// Assignments of a chunk's tokens to experts.
    let assignmentCount: Int
    /// Width of the widest feed-forward.
    let intermediateSize: Int
    /// Width of the widest input of a matrix but `down`'s.
    let inputSize: Int

    /// [buffers]: where each begins.
    let offsets: [Int]
    let floatCount: Int
    private let hiddenSize: Int

    /// Of the buffers and of the matrices' inputs.
    var byteCount: Int {
        floatCount * 4
            + ActivationBuffer.byteCount(tokenCapacity: chunk, columnCapacity: inputSize)
            + ActivationBuffer.byteCount(tokenCapacity: expertRowCount, columnCapacity: hiddenSize)
            + ActivationBuffer.byteCount(tokenCapacity: rowCount, columnCapacity: intermediateSize)
    }

    /// Rows of experts that not all tokens chose: none in a dense model, none for one token.
    var expertRowCount: Int { assignmentCount > 0 && chunk > 1 ? rowCount : 0 }

    /// Positions that the expanded form of attention recomputes together. Absolute: block b holds positions
    /// b·64 ..< (b + 1)·64, wherever a chunk begins.
    static let attentionBlock = 64
    /// Positions whose logits are computed together.
    static let logitsBlock = 8

    enum Buffer: Int, CaseIterable {
        /// [chunk, hidden]: the residual stream.
        case hidden
        /// [chunk, hidden]: normed, and later what a block adds to the stream.
        case normed, delta, shared
        /// [chunk, queryLatentRank]
        case queryLatent
        /// [chunk, heads, plain + rope]
        case queries
        /// [chunk, keyValueLatentRank + rope]
        case keyValue
        /// [chunk, heads, value]
        case attended
        /// [chunk, heads]: the online softmax's running maximum and sum.
        case maxima, sums
        /// [heads, attentionBlock]
        case attentionWeights
        /// [attentionBlock, keyValueLatentRank], [attentionBlock, rope]: cached values as f32.
        case blockLatents, blockKeys
        /// [heads, attentionBlock, plain + value]
        case expanded
        /// [heads, keyValueLatentRank]: the absorbed queries, and the attended latents.
        case absorbed, attendedLatents
        /// [chunk, rope / 2]
        case cosines, sines
        /// [rowCount, intermediate]
        case gate, up
        /// [assignments, hidden]: each expert's output apart.
        case expertOutputs
        /// [chunk, experts]
        case routerScores, ranking
        /// [assignments], the router's weights; the others are Int32.
        case expertWeights, chosenExperts, places, assignedTokens, gatheredTokens
        /// [experts] Int32
        case expertEnds, expertCounts, distinctExperts, pendingTickets
        /// [logitsBlock, vocabulary]
        case logits
    }

    init(configuration: ModelConfiguration, chunk: Int) {
        let attention = configuration.attention.latent
        let experts = configuration.experts
        let hidden = configuration.hiddenSize
        let perToken = experts?.expertsPerToken ?? 0
        let heads = attention.headCount
        let rank = attention.keyValueLatentRank
        let expandedSize = heads * (attention.plainHeadSize + attention.valueHeadSize)
        let intermediate = max(
            configuration.denseIntermediateSize, experts?.sharedIntermediateSize ?? 0, experts?.intermediateSize ?? 0)
        let rowCount = max(chunk, perToken)
        let assignments = chunk * perToken
        let expertCount = experts?.routedExpertCount ?? 0

        func count(_ buffer: Buffer) -> Int {
            switch buffer {
            case .hidden, .normed, .delta, .shared: chunk * hidden
            case .queryLatent: chunk * (attention.queryLatentRank ?? 0)
            case .queries: chunk * heads * (attention.plainHeadSize + attention.ropeHeadSize)
            case .keyValue: chunk * (rank + attention.ropeHeadSize)
            case .attended: chunk * heads * attention.valueHeadSize
            case .maxima, .sums: chunk * heads
            case .attentionWeights: heads * Self.attentionBlock
            case .blockLatents: Self.attentionBlock * rank
            case .blockKeys: Self.attentionBlock * attention.ropeHeadSize
            case .expanded: Self.attentionBlock * expandedSize
            case .absorbed, .attendedLatents: heads * rank
            case .cosines, .sines: chunk * attention.ropeHeadSize / 2
            case .gate, .up: rowCount * intermediate
            case .expertOutputs: assignments * hidden
            case .routerScores, .ranking: chunk * expertCount
            case .expertWeights, .chosenExperts, .places, .assignedTokens, .gatheredTokens: assignments
            case .expertEnds, .expertCounts, .distinctExperts, .pendingTickets: expertCount
            case .logits: Self.logitsBlock * configuration.vocabularySize
            }
        }

        var offsets: [Int] = []
        var end = 0
        for buffer in Buffer.allCases {
            offsets.append(end)
            end += (count(buffer) + 15) / 16 * 16
        }
        self.chunk = chunk
        hiddenSize = hidden
        self.rowCount = rowCount
        assignmentCount = assignments
        intermediateSize = intermediate
        inputSize = max(hidden, attention.queryLatentRank ?? 0, heads * attention.valueHeadSize)
        self.offsets = offsets
        floatCount = end
    }
}

extension ModelConfiguration.Attention {
    var latent: ModelConfiguration.LatentAttention {
        switch self {
        case .latent(let attention): attention
        }
    }
}

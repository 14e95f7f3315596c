import Compute
import Container

/// Where the forward pass's intermediate results stand in one allocation, for prompts in chunks and for several
/// sequences that step together.
///
/// Counts are of floats unless the name says otherwise. What isn't alive at the same time still has a place of its
/// own: the sum is small beside the experts, and every buffer keeps one meaning.
package struct ScratchLayout {
    /// Tokens of a pass at most.
    let tokenCount: Int
    /// Rows that feed-forwards compute together: a pass's tokens, or all experts of one token.
    let rowCount: Int
    /// Assignments of a pass's tokens to experts.
    let assignmentCount: Int
    /// Width of the widest feed-forward.
    let intermediateSize: Int
    /// Width of the widest input of a matrix but `down`'s.
    let inputSize: Int
    /// Latents that keys and values are made of together, remainders included, and the width of each; 0 without latent
    /// attention.
    let latentCount: Int
    let latentSize: Int

    /// [buffers]: where each begins.
    let offsets: [Int]
    let floatCount: Int
    private let hiddenSize: Int

    /// Of the buffers and of the matrices' inputs.
    var byteCount: Int {
        floatCount * 4
            + ActivationBuffer.byteCount(tokenCapacity: tokenCount, columnCapacity: inputSize)
            + ActivationBuffer.byteCount(tokenCapacity: expertRowCount, columnCapacity: hiddenSize)
            + ActivationBuffer.byteCount(tokenCapacity: rowCount, columnCapacity: intermediateSize)
            + ActivationBuffer.byteCount(tokenCapacity: latentCount, columnCapacity: latentSize)
    }

    /// Rows of experts that not all tokens chose: none in a dense model, none for one token.
    var expertRowCount: Int { assignmentCount > 0 && tokenCount > 1 ? rowCount : 0 }

    /// Positions whose logits are computed together for an observer.
    static let logitsBlock = 8

    package enum Buffer: Int, CaseIterable {
        /// [chunk, hidden], [sequences, hidden]: the residual streams.
        case chunkHidden, stepHidden
        /// [chunk, rope / 2], [sequences, rope / 2]
        case chunkCosines, chunkSines, stepCosines, stepSines
        /// [tokens, hidden]: normed, and later what a block adds to the stream.
        case normed, delta, shared
        /// [tokens, queryLatentRank]
        case queryLatent
        /// [tokens, heads, plain + rope]
        case queries
        /// [tokens, keyValueLatentRank + rope], or [tokens, keys] and then [tokens, values]
        case keyValue
        /// [tokens, heads, value]
        case attended
        /// The online softmax's running maximum and sum: [heads, tokens], or [key-value heads, tokens, heads of a group].
        case maxima, sums
        /// [blockLength, keyValueLatentRank]: cached values as f32.
        case blockLatents
        /// [heads, 2, blockLength, plain + value], or [heads, 2, some rows, value]: products of latents and of their remainders.
        case expanded
        /// [AttentionSpans.together, heads, keyValueLatentRank]: the absorbed queries.
        case absorbed
        /// What is attended to in a span of positions: like `absorbed`, or like `attended`.
        case spanValues, spanMaxima, spanSums
        /// [rowCount, intermediate]: silu(gate) ⊙ up
        case gated
        /// [assignments, hidden]: each expert's output apart.
        case expertOutputs
        /// [tokens, experts]
        case routerScores, ranking
        /// [assignments], the router's weights; the others are Int32.
        case expertWeights, chosenExperts, places, assignedTokens, gatheredTokens
        /// [assignments]: what the next layer's router is expected to choose; the experts are Int32.
        case expectedWeights, expectedExperts
        /// [experts] Int32
        case expertEnds, expertCounts, distinctExperts, pendingTickets, expectedDistinct
        /// [sequences, experts], [sequences, 2] Int32, [experts] Int32: for routers that look at what is in memory.
        case preferences, lossyUses, residents
        /// [sequences, vocabulary]
        case logits
    }

    init(configuration: ModelConfiguration, chunk: Int, sequences: Int) {
        let attention = AttentionSizes(configuration.attention)
        let experts = configuration.experts
        let hidden = configuration.hiddenSize
        let perToken = experts?.expertsPerToken ?? 0
        let intermediate = max(
            configuration.denseIntermediateSize, experts?.sharedIntermediateSize ?? 0, experts?.intermediateSize ?? 0)
        // A few sequences cost next to nothing, so the plan needn't weigh them.
        let sequences = max(sequences, Self.logitsBlock)
        let tokens = max(chunk, sequences)
        let rowCount = max(tokens, perToken)
        let assignments = tokens * perToken
        let expertCount = experts?.routedExpertCount ?? 0

        func count(_ buffer: Buffer) -> Int {
            switch buffer {
            case .chunkHidden: chunk * hidden
            case .stepHidden: sequences * hidden
            case .chunkCosines, .chunkSines: chunk * attention.ropeHeadSize / 2
            case .stepCosines, .stepSines: sequences * attention.ropeHeadSize / 2
            case .normed, .delta, .shared: tokens * hidden
            case .queryLatent: tokens * attention.queryLatent
            case .queries: tokens * attention.queries
            case .keyValue: tokens * (attention.cached.first + attention.cached.second)
            case .attended: tokens * attention.attended
            case .maxima, .sums: tokens * attention.headCount
            case .blockLatents: attention.blockLatents
            case .expanded: attention.expanded
            case .absorbed: attention.absorbed
            case .spanValues: attention.spans(tokens: tokens).values
            case .spanMaxima, .spanSums: attention.spans(tokens: tokens).heads
            case .gated: rowCount * intermediate
            case .expertOutputs: assignments * hidden
            case .routerScores, .ranking: tokens * expertCount
            case .expertWeights, .chosenExperts, .places, .assignedTokens, .gatheredTokens: assignments
            case .expectedWeights, .expectedExperts: assignments
            case .expertEnds, .expertCounts, .distinctExperts, .pendingTickets, .expectedDistinct: expertCount
            case .preferences: sequences * expertCount
            case .lossyUses: sequences * 2
            case .residents: expertCount
            case .logits: sequences * configuration.vocabularySize
            }
        }

        var offsets: [Int] = []
        var end = 0
        for buffer in Buffer.allCases {
            offsets.append(end)
            end += (count(buffer) + 15) / 16 * 16
        }
        tokenCount = tokens
        hiddenSize = hidden
        self.rowCount = rowCount
        assignmentCount = assignments
        intermediateSize = intermediate
        inputSize = max(hidden, attention.queryLatent, attention.attended)
        latentCount = attention.latentCount
        latentSize = attention.latentSize
        self.offsets = offsets
        floatCount = end
    }

    func place(of buffer: Buffer, in memory: AlignedMemory) -> UnsafeMutablePointer<Float> {
        unsafe (memory.base + offsets[buffer.rawValue] * 4).assumingMemoryBound(to: Float.self)
    }
}

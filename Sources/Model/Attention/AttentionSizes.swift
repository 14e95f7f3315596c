import Container

/// What a kind of attention takes of the cache and of the scratch memory.
struct AttentionSizes {
    /// Elements of one position in the cache, in two parts: a latent and a rotary key, or keys and values of all heads.
    let cached: (first: Int, second: Int)
    /// Heads that have an equal share of both parts.
    let cachedHeadCount: Int
    /// Elements of a head that are rotated.
    let ropeHeadSize: Int
    let headCount: Int

    /// Floats a token: the query latent, the queries and what the output projection gets.
    let queryLatent: Int
    let queries: Int
    let attended: Int

    /// Floats in all: recomputed keys and values, the latents that they come from, and absorbed queries.
    let expanded: Int
    let blockLatents: Int
    let absorbed: Int
    /// Latents that keys and values are made of together, remainders included, and the width of each.
    let latentCount: Int
    let latentSize: Int

    /// Tokens whose values come out of the latents' space at once: with their remainders as many as a matrix meets best.
    static let raisedTogether = 4

    init(_ attention: ModelConfiguration.Attention) {
        switch attention {
        case .latent(let latent):
            let (heads, rank) = (latent.headCount, latent.keyValueLatentRank)
            cached = (rank, latent.ropeHeadSize)
            cachedHeadCount = 1
            ropeHeadSize = latent.ropeHeadSize
            headCount = heads
            queryLatent = latent.queryLatentRank ?? 0
            queries = heads * (latent.plainHeadSize + latent.ropeHeadSize)
            attended = heads * latent.valueHeadSize
            expanded = heads * 2 * KeyValueCache.blockLength * (latent.plainHeadSize + latent.valueHeadSize)
            blockLatents = KeyValueCache.blockLength * rank
            absorbed = AttentionSpans.together * heads * rank
            latentCount = 2 * max(KeyValueCache.blockLength, Self.raisedTogether * heads)
            latentSize = rank
        case .grouped(let grouped):
            let keyValueSize = grouped.keyValueHeadCount * grouped.headSize
            cached = (keyValueSize, keyValueSize)
            cachedHeadCount = grouped.keyValueHeadCount
            ropeHeadSize = grouped.ropeHeadSize
            headCount = grouped.headCount
            queryLatent = 0
            queries = grouped.headCount * grouped.headSize
            attended = queries
            expanded = 0
            blockLatents = 0
            absorbed = 0
            latentCount = 0
            latentSize = 0
        case .relative(let relative):
            cached = (relative.size, relative.size)
            cachedHeadCount = relative.headCount
            ropeHeadSize = 0
            headCount = relative.headCount
            queryLatent = 0
            queries = relative.size
            attended = relative.size
            expanded = 0
            blockLatents = 0
            absorbed = 0
            latentCount = 0
            latentSize = 0
        }
    }

    /// What spans of positions leave behind before they are joined: floats of values, and of maxima or sums.
    ///
    /// Absorbed attention computes a few rows' spans at once; grouped attention joins each span before the next.
    func spans(tokens: Int) -> (values: Int, heads: Int) {
        absorbed > 0
            ? (absorbed, AttentionSpans.together * headCount) : (tokens * attended, tokens * headCount)
    }
}

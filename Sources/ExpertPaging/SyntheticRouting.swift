import Glibc

/// Makes routing that resembles a real model's: every expert's logit is a constant, plus a part that drifts slowly with
/// the topic, plus a part that changes from token to token, and the highest are taken.
///
///     logit(l, e, t) = A · static(l, e) + B · slow(l, e, t) + C · fast(l, e, t)      A² + B² + C² = 1
///     slow′ = ρ · slow + √(1 − ρ²) · N(0, 1),  ρ = 2^(−1 / half-life)               (fast likewise)
///
/// Uniform routing, which random weights produce, has a hit rate equal to the arena's part of the experts and measures
/// nothing.
package struct SyntheticRouting: Sendable, Equatable {
    package var layerCount: Int
    package var expertsPerLayer: Int
    package var expertsPerToken: Int
    /// A
    package var staticWeight: Double
    /// B
    package var slowWeight: Double
    /// In tokens.
    package var slowHalfLife: Double
    package var fastHalfLife: Double
    /// Tokens until the subject changes, which draws the constants anew; nil for never.
    package var topicLength: Int?

    /// Parameters that were fitted to recorded routing: the hit rates of a per-layer LRU agree within a few points.
    package static let known: [(name: String, parameters: SyntheticRouting)] = [
        ("kimi", .init(26, 256, 8, a: 0.60, b: 0.40, slow: 24, fast: 0.8)),
        ("olmoe", .init(16, 64, 8, a: 0.65, b: 0, slow: 1, fast: 0.8)),
        ("qwen", .init(48, 128, 6, a: 0.75, b: 0.20, slow: 8, fast: 0.5)),
    ]

    private init(_ layers: Int, _ experts: Int, _ perToken: Int, a: Double, b: Double, slow: Double, fast: Double) {
        layerCount = layers
        expertsPerLayer = experts
        expertsPerToken = perToken
        staticWeight = a
        slowWeight = b
        slowHalfLife = slow
        fastHalfLife = fast
    }

    package func trace(tokenCount: Int, seed: UInt64) throws(RoutingTraceError) -> RoutingTrace {
        let fastWeight = (max(0, 1 - staticWeight * staticWeight - slowWeight * slowWeight)).squareRoot()
        let (slowRho, fastRho) = (exp2(-1 / slowHalfLife), exp2(-1 / fastHalfLife))
        var random = GaussianGenerator(seed: seed)
        let count = layerCount * expertsPerLayer
        var fixed = (0..<count).map { _ in random.next() }
        var slow = (0..<count).map { _ in random.next() }
        var fast = (0..<count).map { _ in random.next() }
        var tokens: [[[Int32]]] = []
        for token in 0..<tokenCount {
            if let topicLength, token > 0, token % topicLength == 0 { fixed = (0..<count).map { _ in random.next() } }
            tokens.append(
                (0..<layerCount).map { layer in
                    let logits = (layer * expertsPerLayer..<(layer + 1) * expertsPerLayer).map {
                        staticWeight * fixed[$0] + slowWeight * slow[$0] + fastWeight * fast[$0]
                    }
                    let best = logits.indices.sorted { logits[$0] > logits[$1] }.prefix(expertsPerToken)
                    return best.map { Int32($0) }.sorted()
                })
            for index in 0..<count {
                slow[index] = slowRho * slow[index] + (1 - slowRho * slowRho).squareRoot() * random.next()
                fast[index] = fastRho * fast[index] + (1 - fastRho * fastRho).squareRoot() * random.next()
            }
        }
        return try RoutingTrace(
            layerCount: layerCount, expertsPerLayer: expertsPerLayer, expertsPerToken: expertsPerToken, tokens: tokens)
    }
}

/// Normally distributed numbers (Box and Muller's method) from SplitMix64, the same for a seed everywhere.
private struct GaussianGenerator {
    private var state: UInt64
    private var spare: Double?

    init(seed: UInt64) { state = seed }

    mutating func next() -> Double {
        if let spare {
            self.spare = nil
            return spare
        }
        let radius = (-2 * log(uniform())).squareRoot()
        let angle = 2 * Double.pi * uniform()
        spare = radius * sin(angle)
        return radius * cos(angle)
    }

    /// 0 < result ≤ 1
    private mutating func uniform() -> Double {
        state &+= 0x9E37_79B9_7F4A_7C15
        var bits = state
        bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
        bits ^= bits >> 31
        return (Double(bits >> 11) + 1) / Double(1 << 53)
    }
}

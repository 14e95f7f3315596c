package import ExpertPaging
import Model

/// Sends a model's tokens through the experts of a recorded or made-up routing, one of its tokens after the other, whatever
/// the tokens and the weights are.
///
/// The layers of the model take those of the trace in their order; where the model has more, they begin again with the first,
/// half the trace later each time. Of more experts a token than the model has, some are left out at random.
package final class TraceRouting: RoutingSource, @unchecked Sendable {
    // @unchecked: only the thread that steps the model asks.

    /// What the routing is, for a report.
    package let description: String
    private let trace: RoutingTrace
    /// [layers]: the trace's layer, -1 for a dense one, and how many tokens it is behind the first round.
    private let places: [(layer: Int, offset: Int)]
    /// [layers]: tokens that were routed, and those that were predicted beyond them.
    private var routed: [Int]
    private var predicted: [Int]

    /// How likely the first and the last expert of a prediction is right; those between lie between. The next layer's
    /// router on this layer's state finds 78.8 % of the experts of DeepSeek-V2-Lite (Fate, arXiv 2502.12224).
    private static let surest = 0.92
    private static let leastSure = 0.655

    /// - Parameters:
    ///   - sparseLayers: [layers] of the model.
    ///   - description: of the trace.
    /// - Throws: `RoutingTraceError` if the trace doesn't fit the model.
    package init(
        _ trace: RoutingTrace, description: String, sparseLayers: [Bool], expertsPerLayer: Int, expertsPerToken: Int
    ) throws(RoutingTraceError) {
        guard trace.expertsPerLayer == expertsPerLayer else {
            throw RoutingTraceError(
                "the routing has \(trace.expertsPerLayer) experts a layer, and the model \(expertsPerLayer)")
        }
        guard !trace.tokens.isEmpty else { throw RoutingTraceError("the routing has no tokens") }
        for (index, token) in trace.tokens.enumerated() {
            for (layer, experts) in token.enumerated() where experts.count < expertsPerToken {
                throw RoutingTraceError(
                    "token \(index), layer \(layer) of the routing has \(experts.count) experts, and the model takes "
                        + "\(expertsPerToken)")
            }
        }
        self.trace = trace
        self.description = description
        var places: [(layer: Int, offset: Int)] = []
        var sparse = 0
        for isSparse in sparseLayers {
            let round = sparse / trace.layerCount
            places.append(
                isSparse ? (sparse % trace.layerCount, (round * trace.tokens.count + round) / 2) : (-1, 0))
            sparse += isSparse ? 1 : 0
        }
        self.places = places
        routed = Array(repeating: 0, count: places.count)
        predicted = routed
    }

    /// How often each of the model's experts is used in all, as a daemon would have recorded it.
    ///
    /// - Parameter identity: of the container.
    package func popularity(identity: UInt64) -> PopularityFile {
        var popularity: [Float] = []
        for place in places where place.layer >= 0 {
            var counts = Array(repeating: Float(0), count: trace.expertsPerLayer)
            for token in trace.tokens { for expert in token[place.layer] { counts[Int(expert)] += 1 } }
            popularity += counts
        }
        return PopularityFile(identity: identity, popularity: popularity)
    }

    package func choose(layer: Int, position: Int, experts: inout MutableSpan<Int32>) {
        fill(layer, routed[layer], &experts)
        routed[layer] += 1
        predicted[layer] = 0
    }

    package func predict(layer: Int, position: Int, experts: inout MutableSpan<Int32>) {
        let token = routed[layer] + predicted[layer]
        predicted[layer] += 1
        fill(layer, token, &experts)
        let count = experts.count
        var random = Hash(layer, token, 1)
        for rank in 0..<count {
            let sureness = Self.surest - (Self.surest - Self.leastSure) * Double(rank) / Double(max(count - 1, 1))
            guard random.next() >= sureness, trace.expertsPerLayer > count else { continue }
            // Another that isn't chosen.
            var other = Int32(random.next() * Double(trace.expertsPerLayer))
            while (0..<count).contains(where: { experts[$0] == other }) {
                other = (other + 1) % Int32(trace.expertsPerLayer)
            }
            experts[rank] = other
        }
    }

    private func fill(_ layer: Int, _ token: Int, _ experts: inout MutableSpan<Int32>) {
        let place = places[layer]
        let chosen = trace.tokens[(token + place.offset) % trace.tokens.count][place.layer]
        var random = Hash(layer, token, 0)
        // Knuth's algorithm S: as many as are wanted, each equally likely.
        var taken = 0
        for (index, expert) in chosen.enumerated() where taken < experts.count {
            let (wanted, left) = (experts.count - taken, chosen.count - index)
            guard random.next() * Double(left) < Double(wanted) else { continue }
            experts[taken] = expert
            taken += 1
        }
    }

    /// The same numbers for a layer and token every time: 0 ≤ next < 1 (SplitMix64).
    private struct Hash {
        private var state: UInt64

        init(_ layer: Int, _ token: Int, _ purpose: Int) {
            state = UInt64(truncatingIfNeeded: token &* 4096 &+ layer &* 2 &+ purpose) &* 0xD134_2543_DE82_EF95
        }

        mutating func next() -> Double {
            state &+= 0x9E37_79B9_7F4A_7C15
            var bits = state
            bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
            bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
            return Double((bits ^ (bits >> 31)) >> 11) / Double(1 << 53)
        }
    }
}

extension TraceRouting {
    /// Made-up routing of the model's own shape.
    package convenience init(
        _ parameters: SyntheticRouting, tokenCount: Int, seed: UInt64, sparseLayers: [Bool], expertsPerLayer: Int,
        expertsPerToken: Int
    ) throws(RoutingTraceError) {
        var parameters = parameters
        parameters.layerCount = max(sparseLayers.count { $0 }, 1)
        parameters.expertsPerLayer = expertsPerLayer
        parameters.expertsPerToken = expertsPerToken
        try self.init(
            try parameters.trace(tokenCount: tokenCount, seed: seed),
            description: "made up: \(parameters), seed \(seed), \(tokenCount) tokens", sparseLayers: sparseLayers,
            expertsPerLayer: expertsPerLayer, expertsPerToken: expertsPerToken)
    }
}

package import Container

/// How many tokens of a sequence each expert has taken, where it takes no more than its capacity.
///
/// Tokens come in the sequence's order, so that an expert takes the first of those that want it, however they fall into
/// steps.
package final class ExpertUses {
    /// [layers]: which of the sparse ones it is.
    private let places: [Int]
    /// [sparse layers][experts]
    private var counts: [[Int32]]
    /// Where `counts` rose, and tokens that were left out, since `keep` or `forget`.
    private var recent: [(place: Int, expert: Int)] = []
    private var recentlyDropped = 0

    /// How often a token was left out: once for each layer in which its expert was full.
    package private(set) var droppedCount = 0

    /// nil for experts without a capacity.
    package init?(_ configuration: ModelConfiguration) {
        guard let experts = configuration.experts, experts.router.capacity != nil else { return nil }
        var places: [Int] = []
        var sparseCount = 0
        for isSparse in configuration.sparseLayers {
            places.append(sparseCount)
            if isSparse { sparseCount += 1 }
        }
        self.places = places
        counts = Array(repeating: Array(repeating: 0, count: experts.routedExpertCount), count: sparseCount)
    }

    /// Leaves out what is full of a token's experts, and counts the others.
    package func limit(_ experts: inout MutableSpan<Int32>, layer: Int, by router: Router) {
        let place = places[layer]
        var uses = counts[place].mutableSpan
        recentlyDropped += router.leaveOutFull(&experts, uses: &uses)
        for rank in experts.indices where experts[rank] >= 0 { recent.append((place, Int(experts[rank]))) }
    }

    /// The step is part of the sequence.
    package func keep() {
        droppedCount += recentlyDropped
        clear()
    }

    /// The step failed: as if it had never begun.
    package func forget() {
        for (place, expert) in recent { counts[place][expert] -= 1 }
        clear()
    }

    package func reset() {
        for place in counts.indices {
            for expert in counts[place].indices { counts[place][expert] = 0 }
        }
        droppedCount = 0
        clear()
    }

    private func clear() {
        recent.removeAll(keepingCapacity: true)
        recentlyDropped = 0
    }
}

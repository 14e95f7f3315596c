/// Runs a recorded routing through the arena's state machine, without reading anything, and beside it through the least
/// recently used and the optimum, to see what the policy is worth.
///
/// A layer's experts are asked for together, as the engine does: those in memory are held before any other gives up its
/// slot. Counted are the tokens after the warm-up.
package struct Replay: Sendable {
    package let trace: RoutingTrace
    /// The first tokens that aren't counted.
    package let warmUpCount: Int

    package struct Outcome: Sendable, Equatable {
        package var hitCount = 0
        package var useCount = 0
        package var tokenCount = 0

        /// 0…1
        package var hitRate: Double { useCount == 0 ? 0 : Double(hitCount) / Double(useCount) }
        package var readsPerToken: Double { tokenCount == 0 ? 0 : Double(useCount - hitCount) / Double(tokenCount) }
    }

    package init(_ trace: RoutingTrace, warmUp: Double = 0.25) {
        self.trace = trace
        warmUpCount = Int(Double(trace.tokens.count) * min(max(warmUp, 0), 1))
    }

    /// The fewest slots that hold one layer's experts of a token.
    package var leastSlotCount: Int { trace.expertsPerToken }

    package func slotCount(fraction: Double) -> Int {
        min(max(Int((Double(trace.expertCount) * fraction).rounded()), leastSlotCount), trace.expertCount)
    }

    /// What the store does with `slotCount` slots of one size.
    package func run(slotCount: Int, tuning: ExpertPolicy.Tuning = .init()) -> Outcome {
        var table = SlotTable(
            sizeClasses: Array(repeating: 0, count: trace.expertCount), expertsPerLayer: trace.expertsPerLayer,
            slotCounts: [slotCount], expertsPerToken: trace.expertsPerToken, tuning: tuning)
        var held: [Int] = []
        return count { experts in
            held.removeAll(keepingCapacity: true)
            var missing: [Int] = []
            for expert in experts {
                if let slot = table.holdIfPresent(expert) { held.append(slot) } else { missing.append(expert) }
            }
            for expert in missing {
                switch table.place(expert) {
                case .present(let slot), .queued(let slot, _): held.append(slot)
                case .none: break
                }
            }
            while let read = table.takeRead() { table.finish(read, failure: nil) }
            for slot in held { table.letGo(slot) }
            return experts.count - missing.count
        }
    }

    /// The expert whose last use is longest ago goes, whatever its layer.
    package func runLeastRecentlyUsed(slotCount: Int) -> Outcome {
        var lastUses = Array(repeating: 0, count: trace.expertCount)
        var now = 0
        return runReference(slotCount: slotCount) { expert, _ in
            now += 1
            lastUses[expert] = now
        } rank: { expert in
            lastUses[expert]
        }
    }

    /// The expert whose next use is farthest away goes (Belady's optimum), which only who knows the future can do.
    package func runOptimum(slotCount: Int) -> Outcome {
        var uses: [[Int]] = Array(repeating: [], count: trace.expertCount)
        forEachVisit { visit, _, experts in
            for expert in experts { uses[expert].append(visit) }
        }
        // [experts]: how many of its uses are over.
        var over = Array(repeating: 0, count: trace.expertCount)
        return runReference(slotCount: slotCount) { expert, _ in
            over[expert] += 1
        } rank: { expert in
            over[expert] < uses[expert].count ? -uses[expert][over[expert]] : .min
        }
    }

    /// The evictable expert of the lowest rank goes, found by looking at all of them.
    private func runReference(
        slotCount: Int, use: (_ expert: Int, _ visit: Int) -> Void, rank: (Int) -> Int
    ) -> Outcome {
        var resident: [Int] = []
        // [experts]: place in `resident`, -1 for none.
        var places = Array(repeating: -1, count: trace.expertCount)
        var isHeld = Array(repeating: false, count: trace.expertCount)
        var visit = 0
        return count { experts in
            visit += 1
            var missing: [Int] = []
            for expert in experts {
                use(expert, visit)
                if places[expert] >= 0 { isHeld[expert] = true } else { missing.append(expert) }
            }
            for expert in missing {
                var place = resident.count
                if place == slotCount {
                    var lowest: (rank: Int, place: Int)?
                    for (candidate, other) in resident.enumerated() where !isHeld[other] {
                        let its = rank(other)
                        if lowest.map({ its < $0.rank }) ?? true { lowest = (its, candidate) }
                    }
                    guard let lowest else { continue }
                    place = lowest.place
                    places[resident[place]] = -1
                    resident[place] = expert
                } else {
                    resident.append(expert)
                }
                places[expert] = place
                isHeld[expert] = true
            }
            for expert in experts { isHeld[expert] = false }
            return experts.count - missing.count
        }
    }

    private func count(_ visit: (_ experts: [Int]) -> Int) -> Outcome {
        var outcome = Outcome()
        outcome.tokenCount = trace.tokens.count - warmUpCount
        forEachVisit { _, token, experts in
            let hits = visit(experts)
            guard token >= warmUpCount else { return }
            outcome.hitCount += hits
            outcome.useCount += experts.count
        }
        return outcome
    }

    private func forEachVisit(_ body: (_ visit: Int, _ token: Int, _ experts: [Int]) -> Void) {
        var visit = 0
        for (token, layers) in trace.tokens.enumerated() {
            for (layer, experts) in layers.enumerated() where !experts.isEmpty {
                body(visit, token, experts.map { layer * trace.expertsPerLayer + Int($0) })
                visit += 1
            }
        }
    }
}

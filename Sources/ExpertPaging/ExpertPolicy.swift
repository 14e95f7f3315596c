import Glibc

/// Who gives up a slot: decayed LFU with counts that outlive eviction, weighed with how recently an expert was used, in
/// quotas of the layers where the arena is small and in a pool that the layers share where it is large.
///
/// An expert's key is
///
///     log2 Σ 2^(visit / halfLife)  −  r · log2(age + ½)
///
/// over its uses. The first term is the count of uses, each worth half as much for every `halfLife` visits of its layer
/// since; it is kept as it grows instead of shrinking all the others, so that a use changes one key. The second is an
/// expectation of the time until the next use: `age` is how many visits of the layer have passed without one, known
/// in the steps 0, 1, 2, 4 and 8, so that an expert's key changes at most four times between uses. Counts belong to
/// experts, not to slots: one that was evicted comes back with what it had earned.
///
/// Time runs eight times as fast while the last tokens missed clearly more often than those before, because the subject
/// has changed then and old counts mislead.
///
/// A *group* is one layer's experts of one size. Below 15 % of a size's experts every group keeps to its quota and
/// gives up its own: what a layer will ask for next is known only to its own history, and in a shared pool the other
/// layers would evict it before its turn comes. Where a quota would hardly exceed one token's experts, and above
/// 15 %, the lowest key of all goes, with a bias against groups that hold more than their share.
///
/// Only experts that were offered with `makeEvictable` are ever chosen. Choosing costs O(log n); a use costs O(log n),
/// and the change of layer one pass over the layer's ages.
package struct ExpertPolicy: Sendable {
    package struct Tuning: Sendable {
        /// Visits of a layer until a use is worth half.
        package var halfLife = 64.0
        /// Tokens that the recent and the usual part of misses look back on, by which part the recent one must exceed the
        /// usual one, and how much faster counts decay then.
        package var recentTokens = 8.0
        package var usualTokens = 64.0
        package var surprise = 1.2
        package var haste = 8.0
        /// `r` where layers share a pool.
        package var pooledRecency = 0.6
        /// `r` where layers keep to quotas.
        package var quotaRecency = 0.15
        /// Quotas are kept while the slots are a smaller part of the experts than this.
        package var quotaBelow = 0.15
        /// …and a quota is larger than one token's experts by this at least.
        package var leastQuotaRoom = 2
        /// Half-life of `popularity`, in visits.
        package var popularityHalfLife = 4096.0

        package init() {}
    }

    private struct Group {
        let sizeClass: Int
        /// Experts that belong to it, in memory or not.
        let expertCount: Int
        /// Slots that belong to it.
        var quota = 0
        /// The same before rounding.
        var share = 0.0
        var keepsQuota = false
        /// Experts that have a slot, and those among them that a prompt's chunk brought and that aren't to stay.
        var residentCount = 0
        var passingCount = 0
    }

    private let tuning: Tuning
    private let expertsPerLayer: Int
    /// [experts]
    private let groupOfExpert: [Int32]
    private var groups: [Group]
    /// Evictable experts, a heap a group.
    private var evictable: ExpertHeaps
    /// Groups that have any, a heap a size class.
    private var candidates: ExpertHeaps

    /// [layers]
    private var visits: [Int]
    /// [layers]: visits, of which hasty ones count for more: the time by which counts decay.
    private var clocks: [Double]
    /// [layers]: tokens of the last visit.
    private var lastLengths: [Int]
    /// Parts of the uses that missed, 0…1, as moving averages.
    private var recentMisses = 0.5
    private var usualMisses = 0.5
    private let usesPerToken: Double
    /// The layer that is being visited; -1 before the first.
    private var layer = -1
    /// [experts]: the visit of the last use; `never` before.
    private var lastVisits: [Int]
    /// [experts]: whether it is among its group's `passingCount`.
    private var isPassing: [Bool]
    /// [experts]: the first term of the key.
    private var logCounts: [Double]
    /// [experts]: log2 of the uses, with the half-life of `popularity`.
    private var logPopularity: [Double]

    private static let never = Int.min / 2
    private static let oldestStep = 8

    /// - Parameters:
    ///   - sizeClasses: one entry an expert, layer after layer.
    ///   - slotCounts: one entry a size class.
    package init(
        sizeClasses: [UInt8], expertsPerLayer: Int, slotCounts: [Int], expertsPerToken: Int, tuning: Tuning = Tuning()
    ) {
        self.tuning = tuning
        self.expertsPerLayer = max(expertsPerLayer, 1)
        let layerCount = (sizeClasses.count + self.expertsPerLayer - 1) / self.expertsPerLayer
        var groupOf: [Int32] = []
        var members: [(sizeClass: Int, count: Int)] = []
        var known: [Int] = []
        for (expert, sizeClass) in sizeClasses.enumerated() {
            if expert % self.expertsPerLayer == 0 { known = Array(repeating: -1, count: slotCounts.count) }
            if known[Int(sizeClass)] < 0 {
                known[Int(sizeClass)] = members.count
                members.append((Int(sizeClass), 0))
            }
            members[known[Int(sizeClass)]].count += 1
            groupOf.append(Int32(known[Int(sizeClass)]))
        }
        groups = members.map { Group(sizeClass: $0.sizeClass, expertCount: $0.count) }
        groupOfExpert = groupOf
        evictable = ExpertHeaps(owners: groupOf)
        candidates = ExpertHeaps(owners: groups.map { Int32($0.sizeClass) })
        visits = Array(repeating: 0, count: layerCount)
        clocks = Array(repeating: 0, count: layerCount)
        lastLengths = Array(repeating: 1, count: layerCount)
        isPassing = Array(repeating: false, count: sizeClasses.count)
        usesPerToken = Double(max(layerCount * expertsPerToken, 1))
        lastVisits = Array(repeating: Self.never, count: sizeClasses.count)
        logCounts = Array(repeating: -.infinity, count: sizeClasses.count)
        logPopularity = logCounts
        divide(slotCounts, expertsPerToken: expertsPerToken)
    }

    // MARK: Use

    /// Counts a use of an expert, which was in memory or not. Another layer's expert than the last one's, or one that this
    /// visit has used already, begins the next visit of its layer.
    package mutating func recordUse(of expert: Int, isResident: Bool = true) {
        count(expert, amount: 1, visitLength: 1)
        let missed = isResident ? 0.0 : 1
        recentMisses += (missed - recentMisses) / (tuning.recentTokens * usesPerToken)
        usualMisses += (missed - usualMisses) / (tuning.usualTokens * usesPerToken)
    }

    /// Counts the uses by `tokens` of a prompt's `tokenCount` tokens that are computed together, as if those had come one by one
    /// and evenly spread.
    package mutating func recordUse(of expert: Int, tokens: Int, ofTokens tokenCount: Int) {
        let decay = exp2(-1 / tuning.halfLife)
        let mean = (1 - exp2(-Double(tokenCount) / tuning.halfLife)) / (Double(tokenCount) * (1 - decay))
        count(expert, amount: Double(tokens) * mean, visitLength: tokenCount)
    }

    private mutating func count(_ expert: Int, amount: Double, visitLength: Int) {
        let itsLayer = expert / expertsPerLayer
        if itsLayer != layer || lastVisits[expert] == visits[itsLayer] { beginVisit(of: itsLayer, length: visitLength) }
        let visit = visits[itsLayer]
        lastVisits[expert] = visit
        logCounts[expert] = Self.adding(amount, at: clocks[itsLayer] / tuning.halfLife, to: logCounts[expert])
        logPopularity[expert] = Self.adding(
            amount, at: Double(visit) / tuning.popularityHalfLife, to: logPopularity[expert])
        if evictable.contains(expert) { place(expert) }
    }

    /// The layer that was visited until now grows older by that visit. A prompt's chunk is as many visits as it has tokens.
    private mutating func beginVisit(of next: Int, length: Int) {
        let left = layer
        let visit = left >= 0 ? visits[left] : 0
        layer = next
        visits[next] += length
        clocks[next] += (recentMisses > tuning.surprise * usualMisses ? tuning.haste : 1) * Double(length)
        lastLengths[next] = length
        guard left >= 0 else { return }
        for expert in experts(ofLayer: left) {
            let age = visit - lastVisits[expert]
            // At 1, 2, 4 and 8 the key changes; a chunk may have passed several of them.
            let changes = lastLengths[left] > 1 || (age <= Self.oldestStep && age & (age - 1) == 0)
            if age > 0, changes, evictable.contains(expert) { place(expert) }
        }
    }

    private func experts(ofLayer layer: Int) -> Range<Int> {
        layer * expertsPerLayer..<min((layer + 1) * expertsPerLayer, lastVisits.count)
    }

    /// log2(2^total + amount · 2^time)
    private static func adding(_ amount: Double, at time: Double, to total: Double) -> Double {
        time + log2(amount + exp2(total - time))
    }

    private func key(of expert: Int) -> Double {
        let itsLayer = expert / expertsPerLayer
        // While its layer is visited, the visit hasn't passed for those that it doesn't use.
        let passed = visits[itsLayer] - lastVisits[expert] - (itsLayer == layer ? lastLengths[itsLayer] : 0)
        let age = min(max(passed, 0), Self.oldestStep)
        // The power of two below.
        let step = age == 0 ? 0 : 1 << (Int.bitWidth - 1 - age.leadingZeroBitCount)
        let recency =
            groups[Int(groupOfExpert[expert])].keepsQuota ? tuning.quotaRecency : tuning.pooledRecency
        return logCounts[expert] - recency * log2(Double(step) + 0.5)
    }

    // MARK: Slots

    /// Divides the slots, one entry a size class, among the groups. Costs a pass over all experts.
    package mutating func divide(_ slotCounts: [Int], expertsPerToken: Int) {
        var classSizes = Array(repeating: 0, count: slotCounts.count)
        for group in groups { classSizes[group.sizeClass] += group.expertCount }
        // What rounding leaves goes to the first groups of the class.
        var left = slotCounts
        for group in groups {
            left[group.sizeClass] -= slotCounts[group.sizeClass] * group.expertCount / classSizes[group.sizeClass]
        }
        for index in groups.indices {
            let (sizeClass, count) = (groups[index].sizeClass, groups[index].expertCount)
            let (slots, size) = (slotCounts[sizeClass], classSizes[sizeClass])
            let quota = slots * count / size
            let extra = left[sizeClass] > 0 ? 1 : 0
            left[sizeClass] -= extra
            groups[index].quota = quota + extra
            groups[index].share = Double(slots * count) / Double(size)
            groups[index].keepsQuota =
                Double(slots) < tuning.quotaBelow * Double(size)
                && quota >= expertsPerToken + tuning.leastQuotaRoom
        }
        for expert in groupOfExpert.indices where evictable.contains(expert) { place(expert) }
    }

    /// Chooses the evictable expert of a size class that is needed least, and dismisses it.
    package mutating func takeColdest(ofClass sizeClass: Int) -> Int? {
        guard let group = candidates.minimum(of: sizeClass), let victim = evictable.minimum(of: group) else {
            return nil
        }
        dismiss(victim)
        return victim
    }

    /// The expert was given a slot, by a prompt's chunk or not.
    package mutating func admit(_ expert: Int, isPassing: Bool = false) {
        let group = Int(groupOfExpert[expert])
        groups[group].residentCount += 1
        mark(expert, isPassing: isPassing)
        weigh(group)
    }

    /// The expert lost its slot, other than by `takeVictim`.
    package mutating func dismiss(_ expert: Int) {
        makeUnevictable(expert)
        let group = Int(groupOfExpert[expert])
        groups[group].residentCount -= 1
        mark(expert, isPassing: false)
        weigh(group)
    }

    private mutating func mark(_ expert: Int, isPassing passes: Bool) {
        guard isPassing[expert] != passes else { return }
        isPassing[expert] = passes
        groups[Int(groupOfExpert[expert])].passingCount += passes ? 1 : -1
    }

    /// An expert that a prompt's chunk brought is to stay like any other.
    package mutating func settle(_ expert: Int) { mark(expert, isPassing: false) }

    package enum Settlement: Sendable, Equatable {
        /// It is evictable like any other.
        case stays
        /// It is as before: not evictable, and the next that a chunk brings may take its slot.
        case passes
        /// It is evictable like any other, and this one of the same layer, which was evictable, passes in its place.
        case displaces(Int)
    }

    /// A chunk has done with an expert that it brought, and all uses of the layer by the chunk are counted: whether it stays.
    ///
    /// While there is room, every layer takes its share; after that the higher key within the layer wins. So the prompt has
    /// its say in who stays, like the tokens before it, and doesn't turn everything over.
    package mutating func settleOrPass(_ expert: Int, hasRoom: Bool) -> Settlement {
        let group = Int(groupOfExpert[expert])
        if hasRoom, groups[group].residentCount - groups[group].passingCount < groups[group].quota {
            mark(expert, isPassing: false)
            place(expert)
            return .stays
        }
        guard let lowest = evictable.minimum(of: group), key(of: expert) > evictable.key(of: lowest) else {
            return .passes
        }
        evictable.remove(lowest)
        mark(lowest, isPassing: true)
        mark(expert, isPassing: false)
        place(expert)
        return .displaces(lowest)
    }

    /// The expert is in memory and nobody uses it.
    package mutating func makeEvictable(_ expert: Int) {
        if !evictable.contains(expert) { place(expert) }
    }

    /// The expert is in use.
    package mutating func makeUnevictable(_ expert: Int) {
        evictable.remove(expert)
        weigh(Int(groupOfExpert[expert]))
    }

    /// Chooses an evictable expert that makes room for `newcomer`, and dismisses it.
    package mutating func takeVictim(for newcomer: Int) -> Int? {
        let own = Int(groupOfExpert[newcomer])
        var group = own
        if !groups[own].keepsQuota || groups[own].residentCount < groups[own].quota || evictable.count(of: own) == 0 {
            guard let lowest = candidates.minimum(of: groups[own].sizeClass) else { return nil }
            group = lowest
        }
        guard let victim = evictable.minimum(of: group) else { return nil }
        dismiss(victim)
        return victim
    }

    private mutating func place(_ expert: Int) {
        evictable.set(expert, key: key(of: expert))
        weigh(Int(groupOfExpert[expert]))
    }

    /// Renews a group's place among the others.
    private mutating func weigh(_ index: Int) {
        guard let lowest = evictable.minimum(of: index) else { return candidates.remove(index) }
        let group = groups[index]
        // With quotas, whoever exceeds its own comes first; in the pool, it is only likelier to.
        let weight = group.keepsQuota ? 64.0 : 1
        let excess = log2(Double(group.residentCount + 1) / (group.share + 1))
        candidates.set(index, key: evictable.key(of: lowest) - weight * excess)
    }

    // MARK: Counts

    package var expertCount: Int { logCounts.count }

    /// Uses of an expert, each worth half as much for every half-life since.
    package func count(of expert: Int) -> Double {
        exp2(logCounts[expert] - clocks[expert / expertsPerLayer] / tuning.halfLife)
    }

    /// The same with the half-life of `popularity`: what is known for long rather than what is in use now.
    package func popularity(of expert: Int) -> Double {
        exp2(logPopularity[expert] - Double(visits[expert / expertsPerLayer]) / tuning.popularityHalfLife)
    }

    /// Begins with what an earlier run learnt, if nothing was counted yet. Its rates are worth so many tokens of
    /// observation that what is asked for now soon outweighs them.
    package mutating func restore(popularity: [Float]) {
        guard popularity.count == logCounts.count, layer < 0 else { return }
        for layer in visits.indices {
            let its = experts(ofLayer: layer)
            let most = Double(popularity[its].max() ?? 0)
            guard most > 0 else { continue }
            for expert in its where popularity[expert] > 0 {
                logPopularity[expert] = log2(Double(popularity[expert]))
                logCounts[expert] = log2(Double(popularity[expert]) / most * Self.restoredCount)
            }
        }
    }

    /// What the most popular expert of a layer begins with.
    private static let restoredCount = 4.0
}

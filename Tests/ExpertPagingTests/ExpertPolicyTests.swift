import ExpertPaging
import Glibc
import Testing

@Suite struct ExpertPolicyTests {
    /// One layer in one size whose experts all have a slot.
    private func policy(_ count: Int, halfLife: Double = 1e9, recency: Double = 0) -> ExpertPolicy {
        var tuning = ExpertPolicy.Tuning()
        tuning.halfLife = halfLife
        tuning.pooledRecency = recency
        var policy = ExpertPolicy(
            sizeClasses: Array(repeating: 0, count: count), expertsPerLayer: count, slotCounts: [count],
            expertsPerToken: 1, tuning: tuning)
        for expert in 0..<count { policy.admit(expert) }
        return policy
    }

    @Test func theLeastUsedGoesFirst() {
        var policy = policy(4)
        for (expert, uses) in [3, 1, 4, 2].enumerated() {
            for _ in 0..<uses { policy.recordUse(of: expert) }
            policy.makeEvictable(expert)
        }
        #expect((0..<4).map { _ in policy.takeVictim(for: 0) } == [1, 3, 0, 2])
        #expect(policy.takeVictim(for: 0) == nil)
    }

    @Test func equalsGoByTheLowerIndex() {
        var policy = policy(5)
        for expert in [3, 0, 4, 2, 1] { policy.makeEvictable(expert) }
        #expect((0..<5).map { _ in policy.takeVictim(for: 0) } == [0, 1, 2, 3, 4])
    }

    @Test func aUseHalvesEveryHalfLife() {
        var policy = policy(2, halfLife: 4)
        policy.recordUse(of: 0)
        // Each repeated use is another visit of the layer.
        for _ in 0..<9 { policy.recordUse(of: 1) }
        #expect(abs(policy.count(of: 0) - 0.25) < 1e-9)
        policy.recordUse(of: 0)
        #expect(abs(policy.count(of: 0) - 1.25) < 1e-9)
    }

    @Test func oldUsesLoseAgainstFewerNewOnes() {
        var policy = policy(2, halfLife: 4)
        for _ in 0..<3 { policy.recordUse(of: 0) }
        for _ in 0..<12 { policy.recordUse(of: 1) }
        policy.makeEvictable(0)
        policy.makeEvictable(1)
        #expect(policy.takeVictim(for: 0) == 0)
    }

    @Test func ofEquallyUsedOnesTheOlderGoes() {
        var policy = policy(3, recency: 0.6)
        for _ in 0..<2 { policy.recordUse(of: 1) }
        for _ in 0..<2 { policy.recordUse(of: 0) }
        for _ in 0..<2 { policy.recordUse(of: 2) }
        for expert in 0..<3 { policy.makeEvictable(expert) }
        #expect((0..<3).map { _ in policy.takeVictim(for: 0) } == [1, 0, 2])
    }

    @Test func countsSurviveEviction() {
        var policy = policy(3)
        for _ in 0..<5 { policy.recordUse(of: 0) }
        policy.makeEvictable(0)
        #expect(policy.takeVictim(for: 1) == 0)
        // It comes back with one more use and outranks those with fewer than six.
        for _ in 0..<5 { policy.recordUse(of: 1) }
        policy.recordUse(of: 0)
        policy.admit(0)
        policy.makeEvictable(0)
        policy.makeEvictable(1)
        #expect(policy.takeVictim(for: 2) == 1)
    }

    @Test func whatIsInUseIsNeverChosen() {
        var policy = policy(3)
        for expert in 0..<3 { policy.makeEvictable(expert) }
        policy.makeUnevictable(0)
        policy.makeUnevictable(2)
        #expect(policy.takeVictim(for: 0) == 1)
        #expect(policy.takeVictim(for: 0) == nil)
    }

    @Test func victimsComeFromTheNewcomersSizeClass() {
        var policy = ExpertPolicy(
            sizeClasses: [0, 1, 0, 1], expertsPerLayer: 2, slotCounts: [2, 2], expertsPerToken: 1)
        for expert in 0..<4 {
            policy.admit(expert)
            policy.makeEvictable(expert)
        }
        #expect(policy.takeVictim(for: 1) == 1)
        #expect(policy.takeVictim(for: 1) == 3)
        #expect(policy.takeVictim(for: 1) == nil)
        #expect(policy.takeVictim(for: 0) == 0)
    }

    /// 10 % of 80 experts a layer: quotas of 8 for tokens of 2.
    @Test(arguments: [0.15, 0])
    func aLayerGivesUpItsOwnOnlyWhereQuotasAreKept(quotaBelow: Double) {
        var tuning = ExpertPolicy.Tuning()
        tuning.quotaBelow = quotaBelow
        var policy = ExpertPolicy(
            sizeClasses: Array(repeating: 0, count: 160), expertsPerLayer: 80, slotCounts: [16], expertsPerToken: 2,
            tuning: tuning)
        // Layer 0's are used twice, layer 1's once.
        for expert in 0..<8 { policy.recordUse(of: expert) }
        for expert in 0..<8 { policy.recordUse(of: expert) }
        for expert in 80..<88 { policy.recordUse(of: expert) }
        for expert in Array(0..<8) + Array(80..<88) {
            policy.admit(expert)
            policy.makeEvictable(expert)
        }
        policy.recordUse(of: 20)
        #expect(policy.takeVictim(for: 20).map { $0 / 80 } == (quotaBelow > 0 ? 0 : 1))
    }

    /// Against the definition, over random uses, holds and evictions.
    @Test(arguments: [[40], [12, 12]])
    func victimsAgreeWithTheDefinition(slotCounts: [Int]) {
        let (layerCount, perLayer) = (3, 20)
        let sizeClasses = (0..<layerCount * perLayer).map { UInt8($0 % slotCounts.count) }
        let tuning = ExpertPolicy.Tuning()
        var policy = ExpertPolicy(
            sizeClasses: sizeClasses, expertsPerLayer: perLayer, slotCounts: slotCounts, expertsPerToken: 2)
        var uses: [[Int]] = Array(repeating: [], count: sizeClasses.count)
        var visits = Array(repeating: 0, count: layerCount)
        var (resident, evictable): (Set<Int>, Set<Int>) = ([], [])
        var layer = -1
        var random = Random(state: 7)

        func key(_ expert: Int) -> Double {
            let its = expert / perLayer
            let count = uses[expert].reduce(0.0) { $0 + exp2(Double($1) / tuning.halfLife) }
            let passed = uses[expert].last.map { visits[its] - $0 - (its == layer ? 1 : 0) } ?? 8
            let step = [0, 1, 2, 4, 8].last { $0 <= max(passed, 0) } ?? 0
            let members = sizeClasses.indices.filter { sizeClasses[$0] == sizeClasses[expert] }
            let share =
                Double(slotCounts[Int(sizeClasses[expert])] * members.count { $0 / perLayer == its })
                / Double(members.count)
            let held = resident.count { $0 / perLayer == its && sizeClasses[$0] == sizeClasses[expert] }
            return log2(count) - tuning.pooledRecency * log2(Double(step) + 0.5)
                - log2(Double(held + 1) / (share + 1))
        }
        for _ in 0..<5000 {
            let expert = random.next(sizeClasses.count)
            switch random.next(4) {
            case 0, 1:
                let its = expert / perLayer
                if its != layer || uses[expert].last == visits[its] {
                    layer = its
                    visits[its] += 1
                }
                uses[expert].append(visits[its])
                policy.recordUse(of: expert)
            case 2 where resident.contains(expert):
                if evictable.remove(expert) != nil {
                    policy.makeUnevictable(expert)
                } else {
                    evictable.insert(expert)
                    policy.makeEvictable(expert)
                }
            case 2:
                resident.insert(expert)
                policy.admit(expert)
            default:
                let candidates = evictable.filter { sizeClasses[$0] == sizeClasses[expert] }
                let least = candidates.map(key).min()
                let victim = policy.takeVictim(for: expert)
                #expect((victim == nil) == candidates.isEmpty)
                guard let victim, let least else { continue }
                let its = key(victim)
                #expect(its == least || its <= least + 1e-9)
                evictable.remove(victim)
                resident.remove(victim)
            }
        }
    }

    @Test func whatAnEarlierRunLearntCountsUntilItIsOutweighed() {
        var policy = policy(3, halfLife: 64)
        policy.restore(popularity: [10, 1000, 0])
        for expert in 0..<3 { policy.makeEvictable(expert) }
        #expect(abs(policy.popularity(of: 1) - 1000) < 1e-6)
        for _ in 0..<10 { policy.recordUse(of: 2) }
        #expect((0..<3).map { _ in policy.takeVictim(for: 0) } == [0, 1, 2])
    }
}

private struct Random {
    var state: UInt64

    mutating func next(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % bound
    }
}

import ExpertPaging
import Testing

@Suite struct ExpertPolicyTests {
    private func policy(_ count: Int, halfLife: Double = 8) -> ExpertPolicy {
        ExpertPolicy(sizeClasses: Array(repeating: 0, count: count), halfLife: halfLife)
    }

    @Test func theLeastUsedGoesFirst() {
        var policy = policy(4)
        for (expert, uses) in [3, 1, 4, 2].enumerated() {
            for _ in 0..<uses { policy.recordUse(of: expert) }
            policy.makeEvictable(expert)
        }
        #expect((0..<4).map { _ in policy.takeVictim(ofClass: 0) } == [1, 3, 0, 2])
        #expect(policy.takeVictim(ofClass: 0) == nil)
    }

    @Test func equalsGoByTheLowerIndex() {
        var policy = policy(5)
        for expert in [3, 0, 4, 2, 1] { policy.makeEvictable(expert) }
        #expect((0..<5).map { _ in policy.takeVictim(ofClass: 0) } == [0, 1, 2, 3, 4])
    }

    @Test func aUseHalvesEveryHalfLife() {
        var policy = policy(1, halfLife: 4)
        policy.recordUse(of: 0)
        for _ in 0..<8 { policy.advance() }
        #expect(abs(policy.score(of: 0) - 0.25) < 1e-9)
        policy.recordUse(of: 0)
        #expect(abs(policy.score(of: 0) - 1.25) < 1e-9)
    }

    @Test func oldUsesLoseAgainstFewerNewOnes() {
        var policy = policy(2, halfLife: 4)
        for _ in 0..<3 { policy.recordUse(of: 0) }
        for _ in 0..<12 { policy.advance() }
        policy.recordUse(of: 1)
        policy.makeEvictable(0)
        policy.makeEvictable(1)
        #expect(policy.takeVictim(ofClass: 0) == 0)
    }

    @Test func countsSurviveEviction() {
        var policy = policy(3)
        for _ in 0..<5 { policy.recordUse(of: 0) }
        policy.makeEvictable(0)
        #expect(policy.takeVictim(ofClass: 0) == 0)
        // It comes back with one more use and outranks those with fewer than six.
        for _ in 0..<5 { policy.recordUse(of: 1) }
        policy.recordUse(of: 0)
        policy.makeEvictable(0)
        policy.makeEvictable(1)
        #expect(policy.takeVictim(ofClass: 0) == 1)
    }

    @Test func whatIsInUseIsNeverChosen() {
        var policy = policy(3)
        for expert in 0..<3 { policy.makeEvictable(expert) }
        policy.makeUnevictable(0)
        policy.makeUnevictable(2)
        #expect(policy.takeVictim(ofClass: 0) == 1)
        #expect(policy.takeVictim(ofClass: 0) == nil)
    }

    @Test func victimsComeFromTheirSizeClass() {
        var policy = ExpertPolicy(sizeClasses: [0, 1, 0, 1], halfLife: 8)
        for expert in 0..<4 { policy.makeEvictable(expert) }
        #expect(policy.takeVictim(ofClass: 1) == 1)
        #expect(policy.takeVictim(ofClass: 1) == 3)
        #expect(policy.takeVictim(ofClass: 1) == nil)
        #expect(policy.evictableCount(ofClass: 0) == 2)
    }

    /// Against the definition: the lowest sum of 2^(-age / half-life). The times pass many rescalings.
    @Test func victimsAgreeWithTheDefinition() {
        let (count, halfLife) = (40, 0.3)
        var policy = policy(count, halfLife: halfLife)
        var uses: [[Int]] = Array(repeating: [], count: count)
        var evictable: Set<Int> = []
        var state: UInt64 = 7
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var now = 0
        func score(_ expert: Int) -> Double {
            uses[expert].reduce(0) { $0 + power(2, -Double(now - $1) / halfLife) }
        }
        for _ in 0..<20_000 {
            switch random(4) {
            case 0:
                policy.advance()
                now += 1
            case 1:
                let expert = random(count)
                policy.recordUse(of: expert)
                uses[expert] = uses[expert].suffix(30) + [now]
            case 2:
                let expert = random(count)
                if evictable.remove(expert) != nil {
                    policy.makeUnevictable(expert)
                } else {
                    evictable.insert(expert)
                    policy.makeEvictable(expert)
                }
            default:
                let victim = policy.takeVictim(ofClass: 0)
                #expect((victim == nil) == evictable.isEmpty)
                guard let victim else { continue }
                #expect(evictable.remove(victim) != nil)
                let least = evictable.map(score).min() ?? .infinity
                #expect(score(victim) <= least * (1 + 1e-6) + 1e-60)
            }
        }
    }

    private func power(_ base: Double, _ exponent: Double) -> Double {
        var (whole, result) = (Int(exponent.rounded(.down)), 1.0)
        let fraction = exponent - Double(whole)
        // 2^fraction by repeated square roots.
        var (root, rest) = (base, fraction)
        for _ in 0..<52 {
            root = root.squareRoot()
            rest *= 2
            if rest >= 1 {
                result *= root
                rest -= 1
            }
        }
        while whole < 0 {
            result /= base
            whole += 1
        }
        return result
    }
}

import ExpertPaging
import Testing

@Suite struct LookaheadGateTests {
    /// Runs a trial in which a token with reading ahead loses `with` and one without `without` milliseconds.
    private func tried(_ gate: LookaheadGate = LookaheadGate(), with: Double, without: Double) -> LookaheadGate {
        var gate = gate
        var tokens = 0
        while gate.isTrying {
            gate.record(lost: .seconds((gate.isOn ? with : without) / 1000))
            tokens += 1
        }
        #expect(tokens == 2 * LookaheadGate.rounds * LookaheadGate.stretch)
        return gate
    }

    @Test(arguments: [(10, 20, true), (10, 10, false), (10, 10.1, false), (12, 10, false), (0, 0, false)])
    func itIsOnWhereItGains(with: Double, without: Double, isOn: Bool) {
        #expect(tried(with: with, without: without).isOn == isOn)
    }

    @Test func bothHalvesOfATrialAreAlike() {
        var gate = LookaheadGate()
        var on = 0
        var tokens = 0
        while gate.isTrying {
            on += gate.isOn ? 1 : 0
            tokens += 1
            gate.record(lost: .milliseconds(1))
        }
        #expect(2 * on == tokens)
    }

    @Test func itTriesAgainAndChangesItsMind() {
        var gate = tried(with: 20, without: 10)
        for _ in 0..<LookaheadGate.term {
            #expect(!gate.isOn && !gate.isTrying)
            gate.record(lost: .milliseconds(10))
        }
        #expect(gate.isTrying)
        #expect(tried(gate, with: 5, without: 10).isOn)
    }
}

@Suite struct StorageChoiceTests {
    private func choice(_ samples: [(Int, Bool, Double)]) -> StorageProbe.Sample? {
        StorageProbe(
            readByteCount: 1,
            samples: samples.map { .init(laneCount: $0, isDirect: $1, bytesPerSecond: $2, latency: .zero) }
        ).choice
    }

    @Test func directReadsAndFewLanesWinWhereTheyAreNearlyAsFast() {
        let near = choice([(2, true, 98), (4, true, 99), (1, false, 99), (2, false, 100), (4, false, 101)])
        #expect(near?.laneCount == 2 && near?.isDirect == true)
        let deep = choice([(1, true, 40), (2, true, 60), (4, true, 90), (2, false, 50), (4, false, 70)])
        #expect(deep?.laneCount == 4 && deep?.isDirect == true)
        let buffered = choice([(2, true, 60), (4, true, 60), (2, false, 90), (4, false, 80)])
        #expect(buffered?.laneCount == 2 && buffered?.isDirect == false)
        #expect(choice([]) == nil)
    }
}

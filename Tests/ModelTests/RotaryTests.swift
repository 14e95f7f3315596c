import Container
import Model
import Testing

@Suite struct RotaryTests {
    private func table(
        theta: Double = 10000, pairing: ModelConfiguration.Rotary.Pairing = .interleaved,
        yarn: ModelConfiguration.Rotary.YaRN? = nil, headSize: Int
    ) -> RotaryTable {
        RotaryTable(
            ModelConfiguration.Rotary(theta: theta, pairing: pairing, yarn: yarn), headSize: headSize)
    }

    @Test func plainFrequenciesFallGeometrically() {
        let frequencies = table(headSize: 8).frequencies
        #expect(zip(frequencies, [1, 0.1, 0.01, 0.001]).allSatisfy { abs($0 - $1) < 1e-15 })
    }

    /// Values worked out from the paper's formulas outside of this program.
    @Test(arguments: YaRNCase.all)
    func yarnInterpolatesSlowPairs(_ expected: YaRNCase) {
        let frequencies = table(yarn: expected.yarn, headSize: expected.headSize).frequencies
        for (pair, value) in expected.frequencies {
            #expect(abs(frequencies[pair] - value) <= 1e-9 * value, "pair \(pair)")
        }
    }

    @Test func frequenciesAreDividedOneByOne() {
        var rotary = ModelConfiguration.Rotary(theta: 10000, pairing: .halves, yarn: nil)
        rotary.divisors = [1, 2, 8, 8]
        let frequencies = RotaryTable(rotary, headSize: 8).frequencies
        #expect(zip(frequencies, [1, 0.05, 0.00125, 0.000125]).allSatisfy { abs($0 - $1) < 1e-15 })
    }

    @Test func magnitudeScalesBothFunctions() {
        var yarn = YaRNCase.all[0].yarn
        yarn.magnitude = 1.5
        let table = table(yarn: yarn, headSize: 4)
        let (cosines, sines) = rotation(table, position: 3)
        for pair in 0..<2 {
            #expect(abs(cosines[pair] * cosines[pair] + sines[pair] * sines[pair] - 2.25) < 1e-5)
        }
    }

    @Test func interleavedPairsAreNeighbours() {
        #expect(isClose(rotated([1, 0, 0, 2], pairing: .interleaved), [0, 1, -0.01999966, 1.9999]))
    }

    @Test func halvesPairAcrossTheMiddle() {
        #expect(isClose(rotated([1, 0, 0, 2], pairing: .halves), [0, -0.01999966, 1, 1.9999]))
    }

    @Test func positionZeroChangesNothing() {
        let table = table(headSize: 4)
        let (cosines, sines) = rotation(table, position: 0)
        #expect(cosines == [1, 1])
        #expect(sines == [0, 0])
    }

    /// A quarter turn of the first pair, a hundredth radian of the second.
    private func rotated(_ head: [Float], pairing: ModelConfiguration.Rotary.Pairing) -> [Float] {
        let table = table(pairing: pairing, headSize: 4)
        var head = head
        var span = head.mutableSpan
        let cosines: [Float] = [0, 0.99995]
        let sines: [Float] = [1, 0.00999983]
        table.rotate(&span, cosines: cosines.span, sines: sines.span)
        return head
    }

    private func isClose(_ values: [Float], _ expected: [Float]) -> Bool {
        values.count == expected.count && zip(values, expected).allSatisfy { abs($0 - $1) <= 1e-6 }
    }

    private func rotation(_ table: RotaryTable, position: Int) -> ([Float], [Float]) {
        var cosines = [Float](repeating: 0, count: table.frequencies.count)
        var sines = cosines
        var cosineSpan = cosines.mutableSpan
        var sineSpan = sines.mutableSpan
        table.fill(position: position, cosines: &cosineSpan, sines: &sineSpan)
        return (cosines, sines)
    }
}

struct YaRNCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let yarn: ModelConfiguration.Rotary.YaRN
    let headSize: Int
    /// Some pairs' radians a position, for theta 10000.
    let frequencies: [Int: Double]

    static let all = [
        // Pairs below 10 turn more than 32 times in 4096 positions and stay; from 23 on they are divided
        // by 40; between, linear in the pair's number.
        YaRNCase(
            testDescription: "DeepSeek-V3",
            yarn: .init(factor: 40, originalContextLength: 4096, betaFast: 32, betaSlow: 1, magnitude: 1),
            headSize: 64,
            frequencies: [
                0: 1, 1: 0.7498942093324559, 10: 0.05623413251903491, 11: 0.03900692656714386, 16: 0.0055,
                20: 0.0007905694150420946, 22: 0.0001778279410038922, 23: 3.3338035804083106e-05,
                31: 3.33380358040831e-06,
            ]),
        YaRNCase(
            testDescription: "demo",
            yarn: .init(factor: 4, originalContextLength: 512, betaFast: 32, betaSlow: 1, magnitude: 1),
            headSize: 16,
            frequencies: [
                0: 1, 1: 0.2569350598886808, 2: 0.0625, 3: 0.01383496476323666, 4: 0.0025,
                5: 0.0007905694150420948, 6: 0.00025, 7: 7.905694150420948e-05,
            ]),
        // Both ends of the ramp at pair 0: a step.
        YaRNCase(
            testDescription: "equal betas",
            yarn: .init(factor: 10, originalContextLength: 6, betaFast: 1, betaSlow: 1, magnitude: 1),
            headSize: 8, frequencies: [0: 1, 1: 0.01, 2: 0.001, 3: 0.0001]),
    ]
}

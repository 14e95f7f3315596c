import Compute
import TestSupport
import Testing

/// The search for the scales of groups.
@Suite("Quantising groups")
struct GroupSearchTests {
    /// A block format with its table.
    enum Form: CaseIterable {
        case linear
        case nonLinear
        case bytes

        var format: BlockFormat { self == .bytes ? .q8 : .q4 }
        var table: CodeTable { self == .nonLinear ? .nonLinear : .linear }
        /// What a code can stand for, in order.
        var values: [Float] { self == .bytes ? (-127...127).map(Float.init) : table.values.map(Float.init) }
    }

    struct Groups {
        var scales: [Float]
        /// [row][input]: what the codes stand for.
        var values: [[Float]]
        var loss: Kernels.EncodingLoss
        var bytes: [UInt8]
    }

    private func encode(
        _ input: [Float], _ form: Form, method: ScaleMethod = .search, rows: Int = 8, groups: Int = 1,
        weights: [Float]? = nil, kernels: Kernels = .best
    ) -> Groups? {
        let columns = groups * 32
        var scales = [UInt16](repeating: 1, count: 8 * groups)
        var codes = [UInt8](repeating: 1, count: 8 * columns)
        let loss = input.withUnsafeBufferPointer { input in
            weights.withPointer { weights in
                input.baseAddress.flatMap { start in
                    kernels.encode(
                        form.format, table: form.table, method: method, start, rowStride: columns, rows: rows,
                        groups: groups, weights: weights, scales: &scales, codes: &codes)
                }
            }
        }
        guard let loss else { return nil }
        let values = (0..<rows).map { row in
            (0..<columns).map { column in
                let code = codes[row * columns + column]
                let value = form == .bytes ? Int8(bitPattern: code) : form.table.values[Int(code)]
                return Float(value) * NumberFormat.float(f16: scales[row * groups + column / 32])
            }
        }
        return Groups(
            scales: scales.map { NumberFormat.float(f16: $0) }, values: values, loss: loss,
            bytes: codes + scales.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] })
    }

    private func error(_ input: ArraySlice<Float>, _ output: [Float], _ weights: [Float]? = nil) -> Double {
        zip(input, output).enumerated().reduce(0) { sum, item in
            let difference = Double(item.element.0) - Double(item.element.1)
            return sum + Double(weights?[item.offset] ?? 1) * difference * difference
        }
    }

    /// Normal, heavy-tailed, one-sided, tiny and large values.
    private func samples(_ kind: Int, seed: UInt64, count: Int = 256) -> [Float] {
        let noise = Noise.floats(count: count, seed: seed)
        return switch kind {
        case 0: noise
        case 1: noise.map { $0 * $0 * $0 * 1e4 }
        case 2: noise.map { $0.magnitude + 0.01 }
        case 3: noise.map { $0 * 1e-5 }
        default: noise.map { $0 * 1e5 }
        }
    }

    @Test(arguments: [Form.linear, .bytes], 0..<5)
    func theErrorIsAtMostThatOfPlainRounding(form: Form, kind: Int) throws {
        for seed in 1...200 {
            let input = samples(kind, seed: UInt64(seed))
            let searched = try #require(encode(input, form))
            let plain = try #require(encode(input, form, method: .plain))
            for row in 0..<8 {
                let slice = input[row * 32..<row * 32 + 32]
                #expect(error(slice, searched.values[row]) <= error(slice, plain.values[row]) * 1.00001)
            }
        }
    }

    @Test(arguments: [Form.linear, .bytes])
    func plainRoundingDividesTheLargestMagnitude(form: Form) throws {
        let input = samples(0, seed: 3)
        let plain = try #require(encode(input, form, method: .plain))
        let limit: Float = form == .bytes ? 127 : 7
        for row in 0..<8 {
            let slice = input[row * 32..<row * 32 + 32]
            let scale = NumberFormat.float(f16: NumberFormat.f16((slice.map(\.magnitude).max() ?? 0) / limit))
            #expect(plain.scales[row] == scale)
            for (value, stored) in zip(slice, plain.values[row]) { #expect(abs(value - stored) <= scale * 0.501) }
        }
    }

    @Test(arguments: Form.allCases, [false, true])
    func theLossIsTheCodesOwn(form: Form, isWeighted: Bool) throws {
        let input = samples(1, seed: 11, count: 8 * 96)
        let weights = isWeighted ? Noise.floats(count: 96, seed: 12).map { $0.magnitude * 50 } : nil
        let groups = try #require(encode(input, form, groups: 3, weights: weights))
        var plain = 0.0
        var weighted = 0.0
        for row in 0..<8 {
            plain += error(input[row * 96..<row * 96 + 96], groups.values[row])
            weighted += error(input[row * 96..<row * 96 + 96], groups.values[row], weights)
        }
        #expect(abs(groups.loss.error - plain) <= 1e-4 * plain)
        #expect(abs(groups.loss.weightedError - weighted) <= 1e-4 * weighted)
        #expect(isWeighted || groups.loss.weightedError == groups.loss.error)
    }

    @Test(arguments: Form.allCases)
    func codesAreTheNearestOnesForTheStoredScale(form: Form) throws {
        let input = samples(0, seed: 5)
        let groups = try #require(encode(input, form))
        for row in 0..<8 {
            let choices = form.values.map { $0 * groups.scales[row] }
            for k in 0..<32 {
                let value = input[row * 32 + k]
                let nearest = choices.map { abs($0 - value) }.min() ?? .nan
                #expect(abs(groups.values[row][k] - value) <= nearest * 1.0001)
            }
        }
    }

    /// Data that the format can hold come back exactly: full range, symmetric, of few levels, ternary, one value, none.
    @Test(arguments: [
        (Form.linear, -8, 7), (.linear, -7, 7), (.linear, -3, 3), (.linear, -1, 1), (.linear, 0, 5),
        (.linear, 0, 0), (.bytes, -127, 127), (.bytes, -127, 3), (.bytes, 0, 0),
    ])
    func whatTheFormatCanHoldIsExact(form: Form, least: Int, greatest: Int) throws {
        for scale: Float in [1, 0.0117, -0.0117, 3e-5, 200] {
            let stored = NumberFormat.float(f16: NumberFormat.f16(scale))
            let codes = (0..<256).map { index in
                index % 32 == 0 ? least : index % 32 == 1 ? greatest : least + index * 7919 % (greatest - least + 1)
            }
            let input = codes.map { Float($0) * stored }
            let groups = try #require(encode(input, form))
            #expect(groups.values.flatMap(\.self) == input)
        }
    }

    /// Whichever entries of the table the data reach to.
    @Test(arguments: [(0, 15), (1, 15), (0, 12), (2, 13), (4, 11)])
    func whatTheNonLinearTableCanHoldIsExact(least: Int, greatest: Int) throws {
        let table = CodeTable.nonLinear.values
        for scale: Float in [1, 0.0117, -0.0117, 200] {
            let stored = NumberFormat.float(f16: NumberFormat.f16(scale))
            let input = (0..<256).map { index in
                let code =
                    index % 32 == 0 ? least : index % 32 == 1 ? greatest : least + index * 7919 % (greatest - least + 1)
                return Float(table[code]) * stored
            }
            let groups = try #require(encode(input, .nonLinear))
            #expect(groups.values.flatMap(\.self) == input)
        }
    }

    @Test(arguments: Form.allCases, [1, 3, 8])
    func onlyTheRowsThatAreThereAreWritten(form: Form, rows: Int) throws {
        let input = samples(0, seed: 9, count: 8 * 96)
        let all = try #require(encode(input, form, groups: 3))
        let some = try #require(encode(input, form, rows: rows, groups: 3))
        #expect(some.values == Array(all.values.prefix(rows)))
        #expect(some.bytes[rows * 96..<8 * 96].allSatisfy { $0 == 1 })
        #expect(some.scales[(rows * 3)...].allSatisfy { $0 == NumberFormat.float(f16: 1) })
    }

    @Test(arguments: Form.allCases)
    func valuesBeyondTheScaleAreRefused(form: Form) {
        var input = [Float](repeating: 1, count: 256)
        input[77] = 65504 * (form == .bytes ? 127 : 7)
        #expect(encode(input, form) != nil)
        input[77] = -input[77] * 1.01
        #expect(encode(input, form) == nil)
        input[77] = .infinity
        #expect(encode(input, form) == nil)
    }

    /// Measured for normal data: 9.4e-3 by plain rounding, 6.5e-3 by search, 5.5e-3 with the non-linear table; 2.9e-5
    /// for int8 (`../shared/reference/quantisation.md`).
    @Test(arguments: [
        (Form.linear, ScaleMethod.plain, 9.3e-3, 9.5e-3), (.linear, .search, 6.4e-3, 6.6e-3),
        (.nonLinear, .search, 5.2e-3, 5.5e-3), (.bytes, .plain, 2.8e-5, 2.95e-5), (.bytes, .search, 2.3e-5, 2.6e-5),
    ])
    func theErrorOnNormalDataIsTheKnownOne(form: Form, method: ScaleMethod, least: Double, greatest: Double) throws {
        let input = Noise.floats(count: 8 * 32 * 500)
        let loss = try #require(encode(input, form, method: method, groups: 500)).loss
        #expect((least...greatest).contains(loss.error / loss.energy), "\(loss.error / loss.energy)")
    }

    @Test(arguments: Form.allCases)
    func everyInstructionSetGivesTheSameBits(form: Form) throws {
        let weights = Noise.floats(count: 96, seed: 8).map { $0.magnitude * 50 }
        for kind in 0..<5 {
            for weights in [nil, weights] {
                let input = samples(kind, seed: 77, count: 8 * 96)
                let results = try Kernels.available.map {
                    try #require(encode(input, form, groups: 3, weights: weights, kernels: $0))
                }
                for result in results {
                    #expect(result.bytes == results[0].bytes && result.loss == results[0].loss, "\(kind)")
                }
            }
        }
    }

    /// Columns that count more lose less, at the cost of those that count less.
    @Test(arguments: Form.allCases)
    func weightsShiftTheErrorToLighterColumns(form: Form) throws {
        let count = 300
        let input = Noise.floats(count: 8 * 32 * count)
        let weights: [Float] = (0..<32 * count).map { $0.isMultiple(of: 4) ? 100 : 1 }
        let even = try #require(encode(input, form, groups: count))
        let uneven = try #require(encode(input, form, groups: count, weights: weights))
        func errors(_ groups: Groups) -> (heavy: Double, light: Double) {
            var heavy = 0.0
            var light = 0.0
            for row in 0..<8 {
                for column in 0..<32 * count {
                    let difference = Double(input[row * 32 * count + column] - groups.values[row][column])
                    if column.isMultiple(of: 4) {
                        heavy += difference * difference
                    } else {
                        light += difference * difference
                    }
                }
            }
            return (heavy, light)
        }
        #expect(errors(uneven).heavy < errors(even).heavy * 0.9)
        #expect(errors(uneven).light > errors(even).light)
        #expect(uneven.loss.weightedError < uneven.loss.weightedEnergy)
    }

    /// A column that counts for nothing at all, beside one that counts for everything.
    @Test func weightsOfZeroAreFine() throws {
        let input = samples(0, seed: 21)
        var weights = [Float](repeating: 0, count: 32)
        let nothing = try #require(encode(input, .nonLinear, weights: weights))
        #expect(nothing.loss.weightedError == 0 && nothing.loss.error.isFinite)
        weights[5] = 1e30
        let one = try #require(encode(input, .nonLinear, weights: weights))
        for row in 0..<8 { #expect(abs(one.values[row][5] - input[row * 32 + 5]) < 1e-3 * abs(input[row * 32 + 5])) }
    }
}

extension [Float]? {
    func withPointer<Result>(_ body: (UnsafePointer<Float>?) -> Result) -> Result {
        guard let array = self else { return body(nil) }
        return array.withUnsafeBufferPointer { body($0.baseAddress) }
    }
}

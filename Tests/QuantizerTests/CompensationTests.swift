import Compute
import Quantizer
import TestSupport
import Testing

/// Second-order error compensation, against the slow and obvious way in doubles.
@Suite("Error compensation")
struct CompensationTests {
    /// A matrix with inputs whose columns go together.
    struct Problem {
        let rows: Int
        let columns: Int
        let weights: [Float]
        /// Σ x xᵀ, [columns, columns].
        let hessian: [[Double]]

        /// - Parameter mixing: how much a column is made of others; 0: the columns have nothing to do with each other.
        init(rows: Int = 40, columns: Int = 96, mixing: Float = 0.6, seed: UInt64 = 1) {
            self.rows = rows
            self.columns = columns
            weights = Noise.floats(count: rows * columns, seed: seed)
            let sampleCount = 4 * columns
            let noise = Noise.floats(count: sampleCount * columns, seed: seed + 100)
            let shared = Noise.floats(count: sampleCount * 4, seed: seed + 200)
            var hessian = [[Double]](repeating: Array(repeating: 0, count: columns), count: columns)
            for sample in 0..<sampleCount {
                let row = (0..<columns).map { column in
                    let common = shared[sample * 4 + column % 4] * (column.isMultiple(of: 3) ? 1 : -0.7)
                    return Double((1 - mixing) * noise[sample * columns + column] + mixing * common)
                        * (1 + Double(column % 7))
                }
                for i in 0..<columns { for j in 0..<columns { hessian[i][j] += row[i] * row[j] } }
            }
            self.hessian = hessian
        }

        var triangle: PackedTriangle {
            PackedTriangle(order: columns, values: (0..<columns).flatMap { hessian[$0][...$0].map { Float($0) } })
        }

        /// H as it is factored: of mean 1 on the diagonal, and damped by 0.01.
        var damped: [[Double]] {
            let mean = (0..<columns).reduce(0.0) { $0 + Double(Float(hessian[$1][$1])) } / Double(columns)
            return (0..<columns).map { i in
                (0..<columns).map { j in Double(Float(hessian[i][j])) / mean + (i == j ? 0.01 : 0) }
            }
        }

        /// Σ over rows of e H eᵀ.
        func cost(of stored: [Float]) -> Double {
            let h = damped
            return (0..<rows).reduce(0) { sum, row in
                let e = (0..<columns).map { Double(weights[row * columns + $0]) - Double(stored[row * columns + $0]) }
                return sum
                    + (0..<columns).reduce(0) { inner, i in
                        inner + e[i] * (0..<columns).reduce(0) { $0 + h[i][$1] * e[$1] }
                    }
            }
        }
    }

    struct Encoded {
        var bytes: [UInt8]
        var values: [Float]
        var loss: MatrixEncoder.Loss
    }

    private func encode(
        _ problem: Problem, _ form: GroupSearchTests.Form, compensated: Bool, method: ScaleMethod = .search,
        step: Int? = nil, kernels: Kernels = .best
    ) throws -> Encoded {
        let shape = MatrixShape(rows: problem.rows, columns: problem.columns, format: form.format, layout: .rows)
        let compensation = compensated ? try Compensation(problem.triangle) : nil
        #expect((compensation != nil) == compensated)
        let encoder = MatrixEncoder(
            shape, table: form.table, method: method, compensation: compensation, kernels: kernels)
        var bytes = [UInt8](repeating: 0xA5, count: shape.byteCount)
        var values = [Float](repeating: .nan, count: problem.weights.count)
        var loss = MatrixEncoder.Loss()
        try bytes.withUnsafeMutableBytes { bytes in
            let base = try #require(bytes.baseAddress)
            try problem.weights.withUnsafeBufferPointer { weights in
                let start = try #require(weights.baseAddress)
                for first in stride(from: 0, to: problem.rows, by: step ?? problem.rows) {
                    let rows = first..<min(first + (step ?? problem.rows), problem.rows)
                    loss += try encoder.encode(start + first * problem.columns, rows: rows, into: base)
                }
            }
            try values.withUnsafeMutableBufferPointer { values in
                let start = try #require(values.baseAddress)
                for row in 0..<problem.rows {
                    MatrixPacking(shape).unpackRow(
                        row, of: UnsafeRawPointer(base), table: form.table, into: start + row * problem.columns)
                }
            }
        }
        return Encoded(bytes: bytes, values: values, loss: loss)
    }

    @Test(arguments: GroupSearchTests.Form.allCases, 1...5)
    func itCostsLessThanTheSearchAndPlainRounding(form: GroupSearchTests.Form, seed: Int) throws {
        let problem = Problem(seed: UInt64(seed))
        let compensated = problem.cost(of: try encode(problem, form, compensated: true).values)
        let searched = problem.cost(of: try encode(problem, form, compensated: false).values)
        #expect(compensated < 0.7 * searched)
        guard form != .nonLinear else { return }
        let plain = problem.cost(of: try encode(problem, form, compensated: false, method: .plain).values)
        #expect(compensated < 0.5 * plain)
    }

    /// What it says to have lost is e H eᵀ of what it stored.
    @Test(arguments: GroupSearchTests.Form.allCases)
    func theLossIsTheCodesOwn(form: GroupSearchTests.Form) throws {
        let problem = Problem(seed: 7)
        let encoded = try encode(problem, form, compensated: true)
        let cost = problem.cost(of: encoded.values)
        #expect(abs(encoded.loss.weightedError - cost) < 1e-3 * cost)
        let error = zip(problem.weights, encoded.values).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
        #expect(abs(encoded.loss.error - error) < 1e-4 * error)
    }

    /// GPTQ as it is published, column by column with the Cholesky factor of H⁻¹, in doubles, with the same scales.
    @Test(arguments: GroupSearchTests.Form.allCases)
    func codesAreThoseOfTheAlgorithmInDoubles(form: GroupSearchTests.Form) throws {
        let problem = Problem(rows: 24, seed: 3)
        let encoded = try encode(problem, form, compensated: true)
        let expected = Reference.compensate(problem, levels: form.values.map(Double.init), stored: encoded.values)
        let different = zip(encoded.values, expected).count { abs(Double($0) - $1) > 1e-5 * abs($1) + 1e-9 }
        // A value midway between two codes may fall to the other side in floats, and takes its successors along.
        #expect(different * 50 <= expected.count, "\(different) of \(expected.count)")
    }

    /// Columns that have nothing to do with each other have nothing to make up for.
    @Test(arguments: [GroupSearchTests.Form.linear, .bytes])
    func withoutRelationsItIsPlainRounding(form: GroupSearchTests.Form) throws {
        let columns = 32
        let identity = (0..<columns).flatMap { row in (0...row).map { Float($0 == row ? 1 : 0) } }
        let values = Noise.floats(count: 16 * columns, seed: 5)
        let compensation = try #require(try Compensation(PackedTriangle(order: columns, values: identity)))
        #expect(compensation.columnCount == columns)
        let plain = try group(values, form, factor: 1, .plain)
        var codes = [UInt8](repeating: 0, count: 16 * columns)
        var scales = [UInt16](repeating: 0, count: 16)
        for half in 0..<2 {
            let lost = values[(half * 256)..<(half * 256 + 256)].withUnsafeBufferPointer { input in
                codes.withUnsafeMutableBufferPointer { codes in
                    scales.withUnsafeMutableBufferPointer { scales in
                        input.baseAddress.flatMap { input in
                            codes.baseAddress.flatMap { codes in
                                scales.baseAddress.flatMap { scales in
                                    Kernels.best.encode(
                                        form.format, method: .plain, input, rowStride: 32, rows: 8, groups: 1,
                                        scales: scales + half * 8, codes: codes + half * 256)
                                }
                            }
                        }
                    }
                }
            }
            #expect(lost != nil)
        }
        #expect(plain.codes == codes && plain.scales == scales)
        // With a scale of its own choice it finds at least what the search finds, near enough.
        let problem = Problem(mixing: 0, seed: 9)
        let free = try group(Array(problem.weights.prefix(512)), form, factor: 1, .search)
        let forced = try group(Array(problem.weights.prefix(512)), form, factor: 1, .plain)
        #expect(free.loss.error <= forced.loss.error)
    }

    private func group(
        _ values: [Float], _ form: GroupSearchTests.Form, factor: Float, _ method: ScaleMethod,
        kernels: Kernels = .best
    ) throws -> (codes: [UInt8], scales: [UInt16], errors: [Float], loss: Kernels.EncodingLoss) {
        let noise = Noise.floats(count: 1024, seed: 77)
        let matrix = (0..<1024).map { $0 / 32 == $0 % 32 ? 1 : factor == 1 ? 0 : noise[$0] * factor }
        let drift = factor == 1 ? [Float](repeating: 0, count: 512) : Noise.floats(count: 512, seed: 78)
        var codes = [UInt8](repeating: 0, count: 512)
        var scales = [UInt16](repeating: 0, count: 16)
        var errors = [Float](repeating: .nan, count: 512)
        let lost = kernels.encodeGroup(
            form.format, table: form.table, method: method, values, drift: drift, rowStride: 32, rows: 16,
            factor: matrix, scales: &scales, scaleStride: 1, codes: &codes, errors: &errors)
        return (codes, scales, errors, try #require(lost))
    }

    @Test(arguments: GroupSearchTests.Form.allCases)
    func everyInstructionSetGivesTheSameBits(form: GroupSearchTests.Form) throws {
        let values = Noise.floats(count: 512, seed: 13)
        let expected = try group(values, form, factor: 20, .search, kernels: Kernels.available[0])
        let problem = Problem(rows: 21, seed: 4)
        let whole = try encode(problem, form, compensated: true, kernels: Kernels.available[0])
        for kernels in Kernels.available.dropFirst() {
            let found = try group(values, form, factor: 20, .search, kernels: kernels)
            #expect(found.codes == expected.codes && found.scales == expected.scales, "\(kernels.name)")
            #expect(found.errors == expected.errors && found.loss == expected.loss, "\(kernels.name)")
            #expect(try encode(problem, form, compensated: true, kernels: kernels).bytes == whole.bytes)
        }
    }

    @Test(arguments: [8, 16, 24, 64])
    func rowsDoNotDependOnTheirNeighbours(step: Int) throws {
        let problem = Problem(rows: 70, seed: 6)
        let whole = try encode(problem, .nonLinear, compensated: true)
        #expect(try encode(problem, .nonLinear, compensated: true, step: step).bytes == whole.bytes)
    }

    @Test func refusesWhatIsNoSecondMoment() throws {
        func triangle(_ order: Int, _ value: (Int, Int) -> Float) -> PackedTriangle {
            PackedTriangle(order: order, values: (0..<order).flatMap { row in (0...row).map { value(row, $0) } })
        }
        #expect(try Compensation(triangle(32) { _, _ in 0 }) == nil)
        #expect(try Compensation(triangle(32) { $0 == $1 ? .nan : 0 }) == nil)
        #expect(try Compensation(triangle(32) { $0 == $1 ? 1 : 5 }) == nil, "not positive definite")
        #expect(try Compensation(triangle(33) { $0 == $1 ? 1 : 0 }) == nil, "not whole groups")
        #expect(try Compensation(triangle(32) { _, _ in 1 }) != nil, "of rank 1, but damped")
    }

    @Test func valuesBeyondTheScaleAreRefused() throws {
        let problem = Problem(rows: 8, columns: 32, seed: 2)
        let compensation = try #require(try Compensation(problem.triangle))
        let shape = MatrixShape(rows: 8, columns: 32, format: .q4, layout: .rows)
        let encoder = MatrixEncoder(shape, compensation: compensation)
        let huge = [Float](repeating: 1e6, count: 256)
        #expect(huge.withUnsafeBufferPointer { $0.baseAddress.flatMap { encoder.loss(of: $0, rows: 8) } } == nil)
    }
}

/// The published algorithm in doubles.
private enum Reference {
    /// - Parameters:
    ///   - levels: what codes stand for.
    ///   - stored: values whose scales are taken.
    static func compensate(_ problem: CompensationTests.Problem, levels: [Double], stored: [Float]) -> [Double] {
        let columns = problem.columns
        let h = problem.damped
        let diagonal = (0..<columns).map { h[$0][$0] }
        let energies: [Double] = (0..<columns / 32).map { group in
            diagonal[group * 32..<group * 32 + 32].reduce(0, +)
        }
        let groups = descending(Array(energies.indices), energies)
        let order: [Int] = groups.flatMap { group in
            descending(Array(group * 32..<group * 32 + 32), diagonal)
        }
        let arranged: [[Double]] = order.map { i in order.map { j in h[i][j] } }
        let u = upperFactor(inverse(arranged))
        var result = [Double](repeating: 0, count: stored.count)
        for row in 0..<problem.rows {
            var w = order.map { Double(problem.weights[row * columns + $0]) }
            for (place, column) in order.enumerated() {
                let scale = scale(stored, row * columns + column / 32 * 32, levels)
                let target = w[place]
                let candidates: [Double] = levels.map { $0 * scale }
                let q: Double = candidates.min { abs($0 - target) < abs($1 - target) } ?? 0
                result[row * columns + column] = q
                let error = (target - q) / u[place][place]
                for later in place..<columns { w[later] -= error * u[place][later] }
            }
        }
        return result
    }

    private static func descending(_ indices: [Int], _ keys: [Double]) -> [Int] {
        indices.sorted { keys[$0] == keys[$1] ? $0 < $1 : keys[$0] > keys[$1] }
    }

    /// The scale of a group: the one whose multiples its values are.
    private static func scale(_ stored: [Float], _ start: Int, _ levels: [Double]) -> Double {
        let values = stored[start..<start + 32].map(Double.init)
        guard let extreme = values.max(by: { abs($0) < abs($1) }), extreme != 0 else { return 0 }
        for level in levels where level != 0 {
            let scale = extreme / level
            let fits = values.allSatisfy { value in
                levels.contains { abs($0 * scale - value) < 1e-5 * abs(extreme) }
            }
            // Scales are f16.
            if fits, Double(NumberFormat.float(f16: NumberFormat.f16(Float(scale)))) == Double(Float(scale)) {
                return scale
            }
        }
        return 0
    }

    private static func inverse(_ matrix: [[Double]]) -> [[Double]] {
        let count = matrix.count
        var rows = matrix.enumerated().map { index, row in
            row + (0..<count).map { $0 == index ? 1.0 : 0 }
        }
        for pivot in 0..<count {
            let divisor = rows[pivot][pivot]
            for column in 0..<2 * count { rows[pivot][column] /= divisor }
            for row in 0..<count where row != pivot {
                let factor = rows[row][pivot]
                for column in pivot..<2 * count { rows[row][column] -= factor * rows[pivot][column] }
            }
        }
        return rows.map { Array($0[count...]) }
    }

    /// U of Uᵀ U.
    private static func upperFactor(_ matrix: [[Double]]) -> [[Double]] {
        let count = matrix.count
        var u = [[Double]](repeating: Array(repeating: 0, count: count), count: count)
        for i in 0..<count {
            for j in i..<count {
                let rest = (0..<i).reduce(matrix[i][j]) { $0 - u[$1][i] * u[$1][j] }
                u[i][j] = i == j ? rest.squareRoot() : rest / u[i][i]
            }
        }
        return u
    }
}

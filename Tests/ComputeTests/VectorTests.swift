import Compute
import Glibc
import Testing

@Suite("Vector operations")
struct VectorTests {
    static let lengths = [1, 7, 15, 16, 17, 64, 100, 1408]

    /// What every operation makes of the same inputs, by kernels.
    private func results(_ x: [Float], _ y: [Float], _ kernels: Kernels) -> [String: [Float]] {
        let count = x.count
        let halves = x.map { NumberFormat.bf16($0) }
        func output(_ body: (UnsafeMutablePointer<Float>) -> Void) -> [Float] {
            var result = y
            result.withUnsafeMutableBufferPointer { buffer in buffer.baseAddress.map(body) }
            return result
        }
        return [
            "dot": [kernels.dot(x, y, count: count)],
            "dot bf16": [kernels.dot(y, bf16: halves, count: count)],
            "maximum": [kernels.maximum(x, count: count)],
            "sum": [kernels.sum(x, count: count)],
            "axpy": output { kernels.axpy(0.3, x, count: count, into: $0) },
            "axpy bf16": output { kernels.axpy(0.3, bf16: halves, count: count, into: $0) },
            "scale": output { kernels.scale($0, by: 0.3, count: count) },
            "add": output { kernels.add(x, count: count, into: $0) },
            "rms norm": output { kernels.rmsNorm(x, weight: y, epsilon: 1e-6, count: count, into: $0) },
            "silu": output { kernels.siluMultiply(gate: x, up: y, count: count, into: $0) },
            "clamped": output {
                kernels.clampedMultiply(
                    ClampedGating(slope: 1.702, limit: 3), gate: x, up: y, count: count, into: $0)
            },
            "relu": output { kernels.relu($0, count: count) },
            "sigmoid": output { kernels.sigmoid(x, count: count, into: $0) },
            "exponentials": output { kernels.exponentials(x, count: count, into: $0) },
            "softmax": output { kernels.softmax($0, count: count) },
        ]
    }

    @Test("Every operation agrees with double precision", arguments: lengths)
    func agreesWithDouble(count: Int) {
        var randoms = Randoms(seed: UInt64(count))
        let x = randoms.floats(count, in: -8...8)
        let y = randoms.floats(count, in: -8...8)
        let (a, b) = (x.map(Double.init), y.map(Double.init))
        let half = x.map { Double(NumberFormat.float(bf16: NumberFormat.bf16($0))) }
        let factor = 1 / ((a.reduce(0) { $0 + $1 * $1 }) / Double(count) + 1e-6).squareRoot()
        let weights = b.map { exp($0 - (b.max() ?? 0)) }
        let total = weights.reduce(0, +)
        let products = zip(a, b).map { $0 * $1 }
        let halfProducts = zip(half, b).map { $0 * $1 }
        let expected: [String: [Double]] = [
            "axpy": zip(a, b).map { 0.3 * $0 + $1 },
            "axpy bf16": zip(half, b).map { 0.3 * $0 + $1 },
            "scale": b.map { 0.3 * $0 },
            "add": zip(a, b).map { $0 + $1 },
            "rms norm": zip(a, b).map { $0 * factor * $1 },
            "silu": zip(a, b).map { $0 / (1 + exp(-$0)) * $1 },
            "clamped": zip(a, b).map { min($0, 3) / (1 + exp(-1.702 * min($0, 3))) * (max(-3, min($1, 3)) + 1) },
            "relu": b.map { max(0, $0) },
            "sigmoid": a.map { 1 / (1 + exp(-$0)) },
            "exponentials": a.map { exp($0) },
            "softmax": weights.map { $0 / total },
        ]
        let found = results(x, y, Kernels.available[0])
        for (name, reference) in expected {
            #expect(relativeDistance(found[name] ?? [], reference) < 1e-6, "\(name)")
        }
        // A sum's error is measured by the size of its terms, which may cancel.
        let sums: [String: [Double]] = ["dot": products, "dot bf16": halfProducts, "sum": a]
        for (name, terms) in sums {
            let size = terms.reduce(0) { $0 + abs($1) }
            #expect(abs(Double(found[name]?[0] ?? .nan) - terms.reduce(0, +)) <= 1e-6 * size, "\(name)")
        }
        #expect(found["maximum"] == [x.max() ?? 0])
    }

    @Test("Every entry gives the scalar entry's bits", arguments: lengths, [Float(1), 100, 1e5, 1e20])
    func sameBits(count: Int, magnitude: Float) {
        var randoms = Randoms(seed: UInt64(count))
        let x = randoms.floats(count, in: -magnitude...magnitude)
        let y = randoms.floats(count, in: -magnitude...magnitude)
        let expected = results(x, y, Kernels.available[0])
        for kernels in Kernels.available.dropFirst() {
            for (name, values) in results(x, y, kernels) {
                #expect(values.bits == expected[name]?.bits, "\(kernels.name): \(name)")
            }
        }
    }

    @Test("The exponential is within one unit in the last place wherever it is a normal number")
    func exponentialAccuracy() {
        let x = (0..<170_000).map { Float($0 - 85_000) / 1000 }
        var y = [Float](repeating: 0, count: x.count)
        for kernels in Kernels.available {
            kernels.exponentials(x, count: x.count, into: &y)
            let worst = zip(x, y).map { abs(Double($1) - exp(Double($0))) / Double($1.ulp) }.max() ?? .infinity
            #expect(worst <= 1)
        }
    }

    @Test("The exponential's limits are zero, infinity and NaN", arguments: Kernels.available.map(\.name))
    func exponentialLimits(name: String) throws {
        let kernels = try #require(Kernels.named(name))
        let x: [Float] = [-.infinity, -200, -104, -100, 0, -0.0, 88, 89, 200, .infinity, .nan]
        var y = x
        kernels.exponentials(x, count: x.count, into: &y)
        #expect(y[..<3] == [0, 0, 0])
        #expect(y[3] > 0 && y[3] < .leastNormalMagnitude)
        #expect(y[4..<6] == [1, 1])
        #expect(y[6].isFinite && y[6] > 1e38)
        #expect(y[7..<10] == [.infinity, .infinity, .infinity])
        #expect(y[10].isNaN)
    }
}

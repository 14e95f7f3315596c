import Compute
import Testing

@Suite("Activations")
struct ActivationBufferTests {
    static let kernels = Kernels.available.map(\.name)

    @Test("Magnitudes that f16 can't hold stay finite", arguments: kernels)
    func largeMagnitudes(name: String) throws {
        let kernels = try #require(Kernels.named(name))
        let matrix = try TestMatrix(rows: 8, columns: 64, .q4)
        for magnitude: Float in [1e5, 1e20, 1e30] {
            var randoms = Randoms(seed: 2)
            let x = randoms.floats(64, in: -magnitude...magnitude)
            let y = try kernels.product(matrix, x, tokens: 1)
            #expect(y.allSatisfy { $0.isFinite })
            #expect(relativeDistance(y, matrix.product(x)) < 0.02)
        }
    }

    @Test("An infinity or NaN shows in every row, and only in its token", arguments: kernels, [Float.infinity, .nan])
    func brokenInput(name: String, value: Float) throws {
        let kernels = try #require(Kernels.named(name))
        for encoding in Encoding.quantized {
            let matrix = try TestMatrix(
                rows: 16, columns: 64, encoding.format, table: encoding.table, scaleFormat: encoding.scaleFormat)
            var x = Inputs.ordinary.values(128)
            x[40] = -value
            let y = try kernels.product(matrix, x, tokens: 2)
            #expect(y[..<16].allSatisfy { $0.isNaN })
            #expect(y[16...].allSatisfy { $0.isFinite })
        }
    }

    @Test("Values too small to scale count as zero", arguments: kernels)
    func tinyInput(name: String) throws {
        let kernels = try #require(Kernels.named(name))
        let matrix = try TestMatrix(rows: 8, columns: 32, .q8)
        let y = try kernels.product(matrix, [Float](repeating: .leastNonzeroMagnitude * 1000, count: 32), tokens: 1)
        #expect(y.allSatisfy { $0 == 0 })
    }

    @Test("A row and its remainder give the floats' product", arguments: Encoding.all, [true, false])
    func remainder(encoding: Encoding, quantize: Bool) throws {
        guard quantize || !encoding.format.isQuantized else { return }
        let (rows, columns) = (24, 96)
        let matrix = try TestMatrix(
            rows: rows, columns: columns, encoding.format, table: encoding.table, scaleFormat: encoding.scaleFormat)
        let x = Inputs.ordinary.values(columns)
        let reference = matrix.product(x)
        var first: [UInt32]?
        for kernels in Kernels.available {
            let buffer = try ActivationBuffer(tokenCapacity: 3, columnCapacity: columns)
            buffer.begin(tokens: 3, columns: columns, quantize: quantize, floats: !encoding.format.isQuantized)
            buffer.store(x, token: 2, remainder: 1, kernels: kernels)
            var y = [Float](repeating: 0, count: 2 * rows)
            kernels.multiply(matrix.matrix, rows: 0..<rows, buffer, tokens: 1..<3, into: &y, yStride: rows)
            let whole = zip(y[..<rows], y[rows...]).map { $0 + $1 }
            #expect(relativeDistance(whole, reference) < (encoding.format.isQuantized ? 3e-5 : 1e-6))
            #expect(whole.bits == first ?? whole.bits)
            first = whole.bits
        }
    }

    @Test("Gathered tokens give what they gave in their own buffer", arguments: Encoding.all)
    func gather(encoding: Encoding) throws {
        let kernels = Kernels.best
        let matrix = try TestMatrix(
            rows: 16, columns: 96, encoding.format, table: encoding.table, scaleFormat: encoding.scaleFormat)
        let x = Inputs.ordinary.values(96 * 5)
        let whole = try kernels.product(matrix, x, tokens: 5)
        let source = try ActivationBuffer(tokenCapacity: 5, columnCapacity: 96)
        source.load(x, tokens: 5, columns: 96, stride: 96, quantize: true, kernels: kernels)
        let chosen = try ActivationBuffer(tokenCapacity: 4, columnCapacity: 128)
        let tokens = [4, 0, 2]
        chosen.begin(tokens: 3, columns: 96, quantize: true, floats: !encoding.format.isQuantized)
        for (index, token) in tokens.enumerated() {
            chosen.gather(source, from: token, token: index)
        }
        var y = [Float](repeating: 0, count: 3 * 16)
        kernels.multiply(matrix.matrix, panels: 0..<2, chosen, tokens: 0..<3, into: &y, yStride: 16)
        for (index, token) in tokens.enumerated() {
            #expect(y[index * 16..<(index + 1) * 16] == whole[token * 16..<(token + 1) * 16])
        }
    }
}

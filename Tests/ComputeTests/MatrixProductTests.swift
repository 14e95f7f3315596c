import Compute
import Testing

/// A format with a table and scales.
struct Encoding: Sendable, CustomTestStringConvertible {
    let format: BlockFormat
    let table: CodeTable
    let scaleFormat: ScaleFormat

    init(_ format: BlockFormat, _ table: CodeTable = .linear, scales: ScaleFormat = .f16) {
        self.format = format
        self.table = table
        scaleFormat = scales
    }

    var testDescription: String { "\(format) \(table) \(scaleFormat)" }

    static let all = [
        Self(.f32), Self(.bf16), Self(.f16), Self(.q8), Self(.q8, scales: .bf16), Self(.q4), Self(.q4, scales: .bf16),
        Self(.q4, .nonLinear), Self(.q4, .nonLinear, scales: .bf16), Self(.q4, .e2m1, scales: .bf16),
    ]
    static let quantized = all.filter(\.format.isQuantized)
}

struct Size: Sendable, CustomTestStringConvertible {
    let rows: Int
    let columns: Int

    var testDescription: String { "\(rows)x\(columns)" }

    static let all = [(1, 32), (8, 32), (8, 1408), (13, 96), (16, 256), (40, 512)].map { Self(rows: $0, columns: $1) }
}

enum Inputs: CaseIterable {
    case ordinary, extremes, zeros, large

    func values(_ count: Int, seed: UInt64 = 7) -> [Float] {
        var randoms = Randoms(seed: seed)
        switch self {
        case .ordinary: return randoms.floats(count)
        case .extremes: return (0..<count).map { _ in Bool.random(using: &randoms) ? 127 : -127 }
        case .zeros: return [Float](repeating: 0, count: count)
        case .large: return randoms.floats(count, in: -1e5...1e5)
        }
    }
}

@Suite("Matrix products")
struct MatrixProductTests {
    static let scalar = Kernels.available[0]
    static let names = Kernels.available.map(\.name)

    @Test("The scalar product agrees with the same weights in double precision", arguments: Encoding.all, Size.all)
    func scalarAgreesWithDouble(encoding: Encoding, size: Size) throws {
        let matrix = try TestMatrix(
            rows: size.rows, columns: size.columns, encoding.format, table: encoding.table,
            scaleFormat: encoding.scaleFormat)
        for inputs in [Inputs.ordinary, .large] {
            let x = inputs.values(size.columns)
            let y = try Self.scalar.product(matrix, x, tokens: 1)
            let reference = matrix.product(x)
            for row in 0..<size.rows {
                #expect(abs(Double(y[row]) - reference[row]) <= errorBound(matrix, row, x))
            }
        }
    }

    /// Rounding an input to int8 moves it by at most half a step, 1/254 of its group's largest.
    private func errorBound(_ matrix: TestMatrix, _ row: Int, _ x: [Float]) -> Double {
        let columns = matrix.shape.columns
        return (0..<columns).reduce(0.0) { bound, k in
            let group = k / 32 * 32..<min(columns, k / 32 * 32 + 32)
            let step = matrix.shape.format.isQuantized ? (x[group].map(abs).max() ?? 0) / 254 : 0
            return bound + Double(abs(matrix.values[row * columns + k])) * Double(step + abs(x[k]) * 1e-6)
        }
    }

    @Test("Integer inputs below 128 are multiplied exactly", arguments: Encoding.quantized)
    func exactForIntegers(encoding: Encoding) throws {
        let matrix = try TestMatrix(
            rows: 24, columns: 64, encoding.format, table: encoding.table, scaleFormat: encoding.scaleFormat)
        var randoms = Randoms(seed: 3)
        var x = (0..<64).map { _ in Float(Int.random(in: -127...127, using: &randoms)) }
        (x[0], x[32]) = (127, -127)  // so that the scale is 1
        let y = try Self.scalar.product(matrix, x, tokens: 1)
        #expect(relativeDistance(y, matrix.product(x)) < 1e-6)
    }

    @Test("Every entry gives the scalar entry's bits", arguments: Encoding.all, Size.all)
    func sameBits(encoding: Encoding, size: Size) throws {
        for codes in TestMatrix.Codes.allCases {
            let matrix = try TestMatrix(
                rows: size.rows, columns: size.columns, encoding.format, table: encoding.table,
                scaleFormat: encoding.scaleFormat, codes: codes)
            for inputs in Inputs.allCases {
                for tokens in 1...9 {
                    let x = inputs.values(size.columns * tokens)
                    let expected = try Self.scalar.product(matrix, x, tokens: tokens)
                    #expect(expected.allSatisfy { $0.isFinite })
                    for kernels in Kernels.available.dropFirst() {
                        let y = try kernels.product(matrix, x, tokens: tokens)
                        #expect(y.bits == expected.bits, "\(kernels.name), \(codes), \(inputs), \(tokens) tokens")
                    }
                }
            }
        }
    }

    @Test("Many tokens and more columns than a tile give the scalar entry's bits", arguments: Encoding.quantized)
    func tiles(encoding: Encoding) throws {
        let matrix = try TestMatrix(
            rows: 27, columns: 2144, encoding.format, table: encoding.table, scaleFormat: encoding.scaleFormat)
        for tokens in Array(8...32) + [45] {
            let x = Inputs.ordinary.values(2144 * tokens)
            let expected = try Self.scalar.product(matrix, x, tokens: tokens)
            for kernels in Kernels.available.dropFirst() {
                #expect(try kernels.product(matrix, x, tokens: tokens).bits == expected.bits, "\(kernels.name)")
            }
        }
    }

    @Test("Some rows and tokens have the whole product's bits, and nothing else is written", arguments: Encoding.all)
    func someRows(encoding: Encoding) throws {
        let (rowCount, columns, tokens) = (29, 96, 6)
        let matrix = try TestMatrix(
            rows: rowCount, columns: columns, encoding.format, table: encoding.table, scaleFormat: encoding.scaleFormat)
        let x = Inputs.ordinary.values(columns * tokens)
        for kernels in Kernels.available {
            let whole = try kernels.product(matrix, x, tokens: tokens)
            let buffer = try ActivationBuffer(tokenCapacity: tokens, columnCapacity: columns)
            buffer.load(
                x, tokens: tokens, columns: columns, stride: columns, quantize: encoding.format.isQuantized,
                kernels: kernels)
            for rows in [0..<29, 3..<5, 8..<16, 5..<27, 16..<26, 24..<29, 26..<29, 9..<9] {
                for some in [0..<6, 2..<5] {
                    let stride = rows.count + 3
                    var expected = [Float](repeating: 9, count: some.count * stride)
                    for (place, token) in some.enumerated() {
                        let start = token * rowCount
                        expected.replaceSubrange(
                            place * stride..<place * stride + rows.count,
                            with: whole[start + rows.lowerBound..<start + rows.upperBound])
                    }
                    var y = [Float](repeating: 9, count: some.count * stride)
                    kernels.multiply(matrix.matrix, rows: rows, buffer, tokens: some, into: &y, yStride: stride)
                    #expect(y.bits == expected.bits, "\(kernels.name), rows \(rows), tokens \(some)")
                }
            }
        }
    }

    @Test("A gated product is the two products and their meeting", arguments: names, Encoding.all)
    func gated(name: String, encoding: Encoding) throws {
        let kernels = try #require(Kernels.named(name))
        let (rows, columns) = (27, 96)
        func matrix(_ encoding: Encoding, seed: UInt64) throws -> TestMatrix {
            try TestMatrix(
                rows: rows, columns: columns, encoding.format, table: encoding.table,
                scaleFormat: encoding.scaleFormat, seed: seed)
        }
        let gate = try matrix(encoding, seed: 1)
        for up in try [matrix(encoding, seed: 2), matrix(Encoding(.q8), seed: 3)] {
            for tokens in [1, 2, 7, 24, 70] {
                let x = Inputs.ordinary.values(columns * tokens)
                let gates = try kernels.product(gate, x, tokens: tokens)
                let ups = try kernels.product(up, x, tokens: tokens)
                var expected = gates
                kernels.siluMultiply(gate: gates, up: ups, count: gates.count, into: &expected)
                let buffer = try ActivationBuffer(tokenCapacity: tokens, columnCapacity: columns)
                buffer.load(x, tokens: tokens, columns: columns, stride: columns, quantize: true, kernels: kernels)
                var y = [Float](repeating: 9, count: tokens * 30)
                for panels in [0..<3, 3..<4] {
                    kernels.multiplyGated(
                        gate.matrix, up.matrix, panels: panels, buffer, tokens: 0..<tokens, into: &y, yStride: 30)
                }
                for token in 0..<tokens {
                    let row = Array(y[token * 30..<(token + 1) * 30])
                    #expect(Array(row[..<rows]).bits == Array(expected[token * rows..<(token + 1) * rows]).bits)
                    #expect(row[rows...].allSatisfy { $0 == 9 })
                }
                let clamped = clampedProduct(kernels, gate, up, buffer, gates: gates, ups: ups)
                #expect(clamped.found.bits == clamped.expected.bits)
            }
        }
    }

    /// The same with biases and the clamped activation, in one call and step by step.
    private func clampedProduct(
        _ kernels: Kernels, _ gate: TestMatrix, _ up: TestMatrix, _ x: ActivationBuffer, gates: [Float], ups: [Float]
    ) -> (found: [Float], expected: [Float]) {
        let (rows, count) = (gate.shape.rows, gates.count)
        var randoms = Randoms(seed: 5)
        let biases = randoms.floats(2 * rows)
        let gates = gates.indices.map { gates[$0] + biases[$0 % rows] }
        let ups = ups.indices.map { ups[$0] + biases[rows + $0 % rows] }
        var (found, expected) = ([Float](repeating: 9, count: count), [Float](repeating: 9, count: count))
        biases.withUnsafeBufferPointer { biases in
            let gating = ClampedGating(
                slope: 1.702, limit: 0.5, gateBiases: biases.baseAddress, upBiases: biases.baseAddress! + rows)
            kernels.clampedMultiply(gating, gate: gates, up: ups, count: count, into: &expected)
            kernels.multiplyGated(
                gate.matrix, up.matrix, gating, panels: 0..<gate.shape.panelCount, x, tokens: 0..<count / rows,
                into: &found, yStride: rows)
        }
        return (found, expected)
    }

    @Test("Rows that 16 doesn't divide are exact to the last input", arguments: [BlockFormat.f32, .bf16, .f16])
    func raggedRows(format: BlockFormat) throws {
        let matrix = try TestMatrix(rows: 11, columns: 45, format)
        let x = Inputs.ordinary.values(45 * 3)
        let expected = try Self.scalar.product(matrix, x, tokens: 3)
        #expect(relativeDistance(Array(expected[..<11]), matrix.product(Array(x[..<45]))) < 1e-6)
        for kernels in Kernels.available {
            #expect(try kernels.product(matrix, x, tokens: 3).bits == expected.bits)
        }
    }

    @Test("A token alone gives what it gives in a batch", arguments: names, Encoding.all)
    func batchInvariance(name: String, encoding: Encoding) throws {
        let kernels = try #require(Kernels.named(name))
        let matrix = try TestMatrix(
            rows: 24, columns: 128, encoding.format, table: encoding.table, scaleFormat: encoding.scaleFormat)
        let x = Inputs.ordinary.values(128 * 13)
        let whole = try kernels.product(matrix, x, tokens: 13)
        for token in 0..<13 {
            let alone = try kernels.product(matrix, Array(x[token * 128..<(token + 1) * 128]), tokens: 1)
            #expect(alone.bits == Array(whole[token * 24..<(token + 1) * 24]).bits)
        }
        let part = try kernels.product(matrix, x, tokens: 13, only: 5..<8)
        #expect(Array(part[5 * 24..<8 * 24]).bits == Array(whole[5 * 24..<8 * 24]).bits)
        #expect(part[..<(5 * 24)].allSatisfy { $0 == 0 } && part[(8 * 24)...].allSatisfy { $0 == 0 })
    }

    @Test("Panels computed one by one give the whole, also where two matrices alternate", arguments: names)
    func panelInvariance(name: String) throws {
        let kernels = try #require(Kernels.named(name))
        let parts = try (0..<2).map { try TestMatrix(rows: 40, columns: 64, .q4, seed: UInt64($0 + 10)) }
        let stride = parts[0].shape.strideByteCount
        let blob = try AlignedMemory(byteCount: 2 * parts[0].shape.byteCount)
        for panel in 0..<5 {
            for (index, part) in parts.enumerated() {
                (blob.base + (2 * panel + index) * stride).copyMemory(
                    from: part.memory.base + panel * stride, byteCount: stride)
            }
        }
        let x = Inputs.ordinary.values(64 * 3)
        let buffer = try ActivationBuffer(tokenCapacity: 3, columnCapacity: 64)
        buffer.load(x, tokens: 3, columns: 64, stride: 64, quantize: true, kernels: kernels)
        for (index, part) in parts.enumerated() {
            let view = Matrix(
                base: UnsafeRawPointer(blob.base + index * stride), shape: part.shape, strideByteCount: 2 * stride)
            var y = [Float](repeating: 0, count: 3 * 40)
            for panel in 0..<5 {
                kernels.multiply(view, panels: panel..<panel + 1, buffer, tokens: 0..<3, into: &y, yStride: 40)
            }
            #expect(try y.bits == kernels.product(part, x, tokens: 3).bits)
        }
    }

    @Test("Nothing is written behind the last row", arguments: names, Encoding.all)
    func noWriteBehindTheEnd(name: String, encoding: Encoding) throws {
        let kernels = try #require(Kernels.named(name))
        let matrix = try TestMatrix(
            rows: 11, columns: 32, encoding.format, table: encoding.table, scaleFormat: encoding.scaleFormat)
        let buffer = try ActivationBuffer(tokenCapacity: 2, columnCapacity: 32)
        buffer.load(Inputs.ordinary.values(64), tokens: 2, columns: 32, stride: 32, quantize: true, kernels: kernels)
        var y = [Float](repeating: 9, count: 2 * 20)
        kernels.multiply(matrix.matrix, panels: 0..<2, buffer, tokens: 0..<2, into: &y, yStride: 20)
        #expect(y[11..<20].allSatisfy { $0 == 9 } && y[31...].allSatisfy { $0 == 9 })
    }
}

import Compute
import Testing

@Suite("Products with dequantised weights")
struct DequantizedProductTests {
    @Test("A row's floats are its codes times its scales", arguments: Encoding.all, MatrixLayout.allCases)
    func rows(encoding: Encoding, layout: MatrixLayout) throws {
        let matrix = try TestMatrix(
            rows: 11, columns: 96, encoding.format, layout: layout, table: encoding.table,
            scaleFormat: encoding.scaleFormat)
        for kernels in Kernels.available {
            for row in 0..<11 {
                let expected = Array(matrix.values[row * 96..<(row + 1) * 96])
                var y = [Float](repeating: 0, count: 96)
                kernels.dequantizeRow(matrix.matrix, row: row, into: &y)
                #expect(y.bits == expected.bits)
                MatrixPacking(matrix.shape).unpackRow(
                    row, of: UnsafeRawPointer(matrix.memory.base), table: encoding.table, into: &y)
                #expect(y.bits == expected.bits)
            }
        }
    }

    @Test("The transposed product agrees with double precision, for one token as for several", arguments: Encoding.all)
    func transposed(encoding: Encoding) throws {
        let matrix = try TestMatrix(
            rows: 29, columns: 96, encoding.format, table: encoding.table, scaleFormat: encoding.scaleFormat)
        for rows in [0..<29, 3..<5, 8..<16, 5..<27] {
            let x = Inputs.ordinary.values(6 * rows.count)
            let start = Inputs.ordinary.values(96 * 6, seed: 5)
            var first: [UInt32]?
            for kernels in Kernels.available {
                var y = start
                kernels.multiplyTransposed(
                    matrix.matrix, rows: rows, x, xStride: rows.count, tokens: 6, into: &y, yStride: 96)
                #expect(y.bits == first ?? y.bits)
                first = y.bits
                for token in 0..<6 {
                    let input = Array(x[token * rows.count..<(token + 1) * rows.count])
                    let before = Array(start[token * 96..<(token + 1) * 96])
                    let reference = (0..<96).map { column in
                        rows.reduce(Double(before[column])) { sum, row in
                            sum + Double(matrix.values[row * 96 + column]) * Double(input[row - rows.lowerBound])
                        }
                    }
                    var alone = before
                    kernels.multiplyTransposed(matrix.matrix, rows: rows, input, into: &alone)
                    #expect(alone.bits == Array(y[token * 96..<(token + 1) * 96]).bits)
                    #expect(relativeDistance(alone, reference) < 1e-6)
                }
            }
        }
    }
}

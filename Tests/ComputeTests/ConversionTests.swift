import Compute
import Testing

@Suite("Number formats")
struct ConversionTests {
    private func bulk<From, To>(
        _ values: [From], zero: To, _ convert: (UnsafePointer<From>, Int, UnsafeMutablePointer<To>) -> Void
    ) -> [To] {
        var result = [To](repeating: zero, count: values.count)
        convert(values, values.count, &result)
        return result
    }

    @Test("All f16 become the floats that Float16 says")
    func f16ToF32() {
        let all = (0...UInt16.max).map { $0 }
        let floats = bulk(all, zero: Float(0)) { Kernels.convert(f16: $0, count: $1, into: $2) }
        #expect(floats.bits == all.map { Float(Float16(bitPattern: $0)) }.bits)
        #expect(floats.indices.allSatisfy { floats[$0].isNaN == Float16(bitPattern: all[$0]).isNaN })
    }

    @Test("Floats are rounded to f16 as Float16 does, ties, subnormals and overflow included")
    func f32ToF16() {
        var floats: [Float] = []
        for bits in stride(from: UInt16(0), through: 0x7bff, by: 1) {
            let value = Float(Float16(bitPattern: bits))
            let middle = (value + Float(Float16(bitPattern: bits + 1))) / 2
            floats += [value, middle.nextDown, middle, middle.nextUp]
        }
        floats += [65_519.99, 65_520, 1e10, .infinity, 1e-10, .leastNonzeroMagnitude]
        floats += floats.map { -$0 }
        let halves = bulk(floats, zero: UInt16(0)) { Kernels.convert($0, count: $1, intoF16: $2) }
        // Halfway between the largest and infinity isn't a float above; skip what that made of it.
        for (value, half) in zip(floats, halves) where !value.isNaN {
            #expect(half == Float16(value).bitPattern, "\(value)")
        }
        #expect(NumberFormat.float(f16: NumberFormat.f16(.nan)).isNaN)
    }

    @Test("bf16 is the upper half, rounded to nearest even")
    func bf16() {
        let all = (0...UInt16.max).map { $0 }
        let floats = bulk(all, zero: Float(0)) { Kernels.convert(bf16: $0, count: $1, into: $2) }
        #expect(floats.map(\.bitPattern) == all.map { UInt32($0) << 16 })
        let back = bulk(floats, zero: UInt16(0)) { Kernels.convert($0, count: $1, intoBF16: $2) }
        for (bits, result) in zip(all, back) {
            if NumberFormat.float(bf16: bits).isNaN {
                #expect(NumberFormat.float(bf16: result).isNaN)
            } else {
                #expect(result == bits)
            }
        }
        #expect(NumberFormat.bf16(Float(bitPattern: 0x3f80_8000)) == 0x3f80)
        #expect(NumberFormat.bf16(Float(bitPattern: 0x3f81_8000)) == 0x3f82)
        #expect(NumberFormat.bf16(Float(bitPattern: 0x3f80_8001)) == 0x3f81)
        #expect(NumberFormat.bf16(.greatestFiniteMagnitude) == 0x7f80)
    }

    @Test("FP8 e4m3 covers 2^-9 to 448 and has two NaNs")
    func f8() {
        let all = (0...UInt8.max).map { $0 }
        let floats = bulk(all, zero: Float(0)) { Kernels.convert(f8e4m3: $0, count: $1, into: $2) }
        for (bits, value) in zip(all, floats) {
            let (exponent, mantissa) = (Int(bits >> 3 & 15), Float(bits & 7))
            if exponent == 15, mantissa == 7 {
                #expect(value.isNaN)
                continue
            }
            let magnitude =
                exponent == 0
                ? mantissa / 8 * Float(sign: .plus, exponent: -6, significand: 1)
                : Float(sign: .plus, exponent: exponent - 7, significand: 1 + mantissa / 8)
            #expect(value == (bits & 0x80 == 0 ? magnitude : -magnitude))
            #expect(value.sign == (bits & 0x80 == 0 ? .plus : .minus))
        }
        #expect(floats[0x7e] == 448)
    }

    @Test("The code tables of the kernels are those of CodeTable", arguments: CodeTable.allCases)
    func codeTables(table: CodeTable) throws {
        // Sixteen codes in a row of 32 with the scale 1 read back as the table.
        let shape = MatrixShape(rows: 1, columns: 32, format: .q4, layout: .rows)
        let memory = try AlignedMemory(byteCount: shape.byteCount)
        let codes = (0..<32).map { UInt8($0 % 16) }
        MatrixPacking(shape).packBlock(0, codes: codes, scales: [NumberFormat.f16(1)], into: memory.base)
        var row = [Float](repeating: 0, count: 32)
        let matrix = Matrix(base: UnsafeRawPointer(memory.base), shape: shape, table: table)
        Kernels.best.dequantizeRow(matrix, row: 0, into: &row)
        #expect(row == (table.values + table.values).map(Float.init))
    }
}

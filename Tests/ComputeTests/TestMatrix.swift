import Compute

/// A packed matrix with the codes and scales that it was made of.
final class TestMatrix {
    enum Codes: CaseIterable {
        case random, least, greatest
    }

    let shape: MatrixShape
    let table: CodeTable
    let memory: AlignedMemory
    /// [rows, columns], what each element stands for.
    let values: [Float]

    init(
        rows: Int, columns: Int, _ format: BlockFormat, layout: MatrixLayout = .panels, table: CodeTable = .linear,
        scaleFormat: ScaleFormat = .f16, codes kind: Codes = .random, seed: UInt64 = 1
    ) throws {
        var randoms = Randoms(seed: seed)
        let shape = MatrixShape(rows: rows, columns: columns, format: format, layout: layout, scaleFormat: scaleFormat)
        self.shape = shape
        self.table = table
        let memory = try AlignedMemory(byteCount: shape.byteCount)
        self.memory = memory
        let packing = MatrixPacking(shape)
        var values: [Float]
        if format.isQuantized {
            let codes = (0..<rows * columns).map { _ in Self.code(format, kind, &randoms) }
            let scales = randoms.floats(rows * shape.groupsPerRow, in: 0.001...0.1).map {
                scaleFormat == .f16 ? NumberFormat.f16($0) : NumberFormat.bf16($0)
            }
            for block in 0..<packing.blockCount {
                let first = packing.rows(of: block).lowerBound
                codes.withUnsafeBufferPointer { codes in
                    scales.withUnsafeBufferPointer { scales in
                        packing.packBlock(
                            block, codes: codes.baseAddress! + first * columns,
                            scales: scales.baseAddress! + first * shape.groupsPerRow,
                            into: memory.base + block * shape.strideByteCount)
                    }
                }
            }
            values = codes.indices.map { index in
                let code = format == .q8 ? Int8(bitPattern: codes[index]) : table.values[Int(codes[index])]
                return Float(code) * NumberFormat.float(scale: scales[index / BlockFormat.groupSize], scaleFormat)
            }
        } else {
            values = randoms.floats(rows * columns)
            if format != .f32 {
                let halves = values.map { format == .bf16 ? NumberFormat.bf16($0) : NumberFormat.f16($0) }
                values = halves.map { format == .bf16 ? NumberFormat.float(bf16: $0) : NumberFormat.float(f16: $0) }
                halves.withUnsafeBytes { Self.pack($0, packing, memory) }
            } else {
                values.withUnsafeBytes { Self.pack($0, packing, memory) }
            }
        }
        self.values = values
    }

    var matrix: Matrix { Matrix(base: UnsafeRawPointer(memory.base), shape: shape, table: table) }

    /// W · x in double precision.
    func product(_ x: [Float]) -> [Double] {
        (0..<shape.rows).map { row in
            let weights = values[row * shape.columns..<(row + 1) * shape.columns]
            return zip(weights, x).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        }
    }

    private static func code(_ format: BlockFormat, _ kind: Codes, _ randoms: inout Randoms) -> UInt8 {
        switch (kind, format) {
        case (.random, .q8): UInt8(bitPattern: Int8.random(in: -127...127, using: &randoms))
        case (.least, .q8): UInt8(bitPattern: -127)
        case (.greatest, .q8): 127
        case (.random, _): UInt8.random(in: 0...15, using: &randoms)
        case (.least, _): 0
        case (.greatest, _): 15
        }
    }

    private static func pack(_ source: UnsafeRawBufferPointer, _ packing: MatrixPacking, _ memory: AlignedMemory) {
        let shape = packing.shape
        let rowByteCount = shape.columns * (shape.format == .f32 ? 4 : 2)
        for block in 0..<packing.blockCount {
            packing.packBlock(
                block, rows: source.baseAddress! + packing.rows(of: block).lowerBound * rowByteCount,
                into: memory.base + block * shape.strideByteCount)
        }
    }
}

extension Kernels {
    /// All panels for the given tokens of `x`, row-major [tokens of x, columns].
    func product(_ matrix: TestMatrix, _ x: [Float], tokens: Int, only: Range<Int>? = nil) throws -> [Float] {
        let columns = matrix.shape.columns
        let buffer = try ActivationBuffer(tokenCapacity: tokens, columnCapacity: columns)
        buffer.load(
            x, tokens: tokens, columns: columns, stride: columns, quantize: matrix.shape.format.isQuantized,
            kernels: self)
        var y = [Float](repeating: 0, count: tokens * matrix.shape.rows)
        multiply(
            matrix.matrix, panels: 0..<matrix.shape.panelCount, buffer, tokens: only ?? 0..<tokens, into: &y,
            yStride: matrix.shape.rows)
        return y
    }
}

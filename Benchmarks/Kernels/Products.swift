import Benchmark
import Compute

/// Products of the matrices with some tokens, the panels shared out among threads as the model does.
struct Products {
    let kernels: Kernels
    let matrices: Matrices
    let table: CodeTable
    let tokens: Int
    let input: ActivationBuffer
    let output: AlignedMemory

    init(_ kernels: Kernels, _ matrices: Matrices, _ table: CodeTable, tokens: Int) throws {
        self.kernels = kernels
        self.matrices = matrices
        self.table = table
        self.tokens = tokens
        let columns = matrices.shape.columns
        input = try ActivationBuffer(tokenCapacity: tokens, columnCapacity: columns)
        output = try AlignedMemory(byteCount: tokens * matrices.shape.rows * 4)
        let values = (0..<tokens * columns).map { Float($0 % 255 - 127) }
        unsafe input.load(values, tokens: tokens, columns: columns, stride: columns, quantize: true, kernels: kernels)
    }

    func bytesPerSecond(_ threads: ThreadPool) -> Double {
        let byteCount = matrices.count * matrices.shape.byteCount
        return Double(byteCount) / shortest(of: 5) { multiply(0..<matrices.count, threads) }
    }

    func operationsPerSecond(_ threads: ThreadPool) -> Double {
        let (rows, columns) = (matrices.shape.rows, matrices.shape.columns)
        let some = 0..<min(matrices.count, max(4, 1024 / tokens))
        return Double(some.count * rows * columns * tokens) / shortest(of: 5) { multiply(some, threads) }
    }

    /// Six matrices together, as a token's experts.
    private func multiply(_ indices: Range<Int>, _ threads: ThreadPool) {
        let panels = matrices.shape.panelCount
        let pieces = 2 * threads.threadCount
        let y = unsafe output.base.assumingMemoryBound(to: Float.self)
        for start in stride(from: indices.lowerBound, to: indices.upperBound, by: 6) {
            threads.forEach(min(6, indices.upperBound - start) * pieces) { item in
                let piece = item % pieces
                let range = 2 * (panels / 2 * piece / pieces)..<2 * (panels / 2 * (piece + 1) / pieces)
                unsafe kernels.multiply(
                    matrices.matrix(start + item / pieces, table), panels: range, input, tokens: 0..<tokens, into: y,
                    yStride: matrices.shape.rows)
            }
        }
    }
}

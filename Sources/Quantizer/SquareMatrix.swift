import Compute

/// A square matrix of doubles, for factoring.
@safe struct SquareMatrix: ~Copyable {
    let order: Int
    private let memory: AlignedMemory
    private let base: UnsafeMutablePointer<Double>

    /// Columns that are made together: their rows fit a processor's second-level cache.
    private static let blockSize = 32
    private static let tileSize = 512

    /// Zeros.
    init(order: Int) throws(ComputeError) {
        self.order = order
        memory = try AlignedMemory(byteCount: order * order * 8)
        unsafe base = memory.base.assumingMemoryBound(to: Double.self)
    }

    /// - Precondition: both are below `order`.
    subscript(row: Int, column: Int) -> Double {
        get { unsafe base[row * order + column] }
        nonmutating set { unsafe base[row * order + column] = newValue }
    }

    /// Turns the upper triangle of a symmetric positive definite H into the R of H = R Rᵀ; false if H isn't that.
    ///
    /// R_ij = (H_ij − Σ_{k>j} R_ik R_jk) / R_jj, from the last column to the first: Cholesky's factoring from the other
    /// end. The order of every sum is fixed.
    borrowing func factorUpper() -> Bool {
        for end in stride(from: order, to: 0, by: -Self.blockSize) {
            let start = max(0, end - Self.blockSize)
            // What the finished columns take off, a tile of them at a time.
            for tile in stride(from: end, to: order, by: Self.tileSize) {
                let columns = tile..<min(tile + Self.tileSize, order)
                for row in 0..<end {
                    for column in max(row, start)..<end { self[row, column] -= dot(row, column, columns) }
                }
            }
            for column in (start..<end).reversed() {
                let finished = column + 1..<end
                let square = self[column, column] - dot(column, column, finished)
                guard square > 0, square.isFinite else { return false }
                let root = square.squareRoot()
                self[column, column] = root
                for row in 0..<column { self[row, column] = (self[row, column] - dot(row, column, finished)) / root }
            }
        }
        return true
    }

    /// Of two rows over some columns: eight sums side by side.
    private borrowing func dot(_ row: Int, _ other: Int, _ columns: Range<Int>) -> Double {
        let (x, y) = unsafe (base + row * order, base + other * order)
        var sums = SIMD8<Double>()
        var column = columns.lowerBound
        while column + 8 <= columns.upperBound {
            let left = unsafe UnsafeRawPointer(x + column).loadUnaligned(as: SIMD8<Double>.self)
            let right = unsafe UnsafeRawPointer(y + column).loadUnaligned(as: SIMD8<Double>.self)
            sums += left * right
            column += 8
        }
        var sum = sums.sum()
        while column < columns.upperBound {
            unsafe sum += x[column] * y[column]
            column += 1
        }
        return sum
    }
}

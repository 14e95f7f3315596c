package import Compute

/// What it costs to be wrong in several columns of a matrix at once: the factor R of H = R Rᵀ, where H is the second
/// moment of the matrix's inputs and R upper triangular.
///
/// An error e of a row costs e H eᵀ = Σ_k (Σ_{i≤k} e_i R_ik)². (GPTQ writes the same with the Cholesky factor of H⁻¹,
/// which is R⁻¹.)
@safe package final class Compensation: @unchecked Sendable {
    // @unchecked: the factor is written by `init` alone.

    package let columnCount: Int
    /// The groups in the order in which they are rounded: those whose inputs are largest first, because the later ones
    /// make up for the earlier.
    let order: [Int]
    /// The columns in that order, within a group too the largest first.
    let columnOrder: [Int]
    /// Rows of R in that order; each begins at its own group's first column.
    private let factor: AlignedMemory

    package static let groupSize = BlockFormat.groupSize

    /// - Parameters:
    ///   - hessian: Σ x xᵀ of the inputs, its lower triangle row after row.
    ///   - damping: what is added to the diagonal, as a share of its mean: what was rarely seen isn't free to become
    ///     anything, and rounding leaves H positive definite.
    /// - Returns: nil if H isn't finite, is zero, or its columns aren't whole groups.
    /// - Throws: `ComputeError` if there is no memory for it.
    package init?(_ hessian: PackedTriangle, damping: Double = 0.01) throws(ComputeError) {
        let columns = hessian.order
        guard columns > 0, columns.isMultiple(of: Self.groupSize) else { return nil }
        let diagonal = (0..<columns).map { Double(hessian[$0, $0]) }
        let mean = diagonal.reduce(0, +) / Double(columns)
        guard mean.isFinite, mean > 0 else { return nil }
        let groupCount = columns / Self.groupSize
        let energies = (0..<groupCount).map { diagonal[$0 * Self.groupSize..<($0 + 1) * Self.groupSize].reduce(0, +) }
        let order = (0..<groupCount).sorted { (energies[$1], $0) < (energies[$0], $1) }
        let places = order.flatMap { group in
            (group * Self.groupSize..<(group + 1) * Self.groupSize).sorted { (diagonal[$1], $0) < (diagonal[$0], $1) }
        }
        let square = try SquareMatrix(order: columns)
        for (row, from) in places.enumerated() {
            for (column, other) in places.enumerated().dropFirst(row) {
                // By the mean, so that any text's length gives numbers of a size.
                square[row, column] = Double(hessian[max(from, other), min(from, other)]) / mean
            }
            square[row, row] += damping
        }
        guard square.factorUpper() else { return nil }
        factor = try AlignedMemory(byteCount: Self.byteCount(columns: columns))
        columnCount = columns
        self.order = order
        columnOrder = places
        for row in 0..<columns {
            let target = unsafe writableRow(row)
            let first = row / Self.groupSize * Self.groupSize
            for column in first..<columns {
                unsafe target[column - first] = column < row ? 0 : Float(square[row, column])
            }
        }
    }

    /// Of a factor.
    package static func byteCount(columns: Int) -> Int {
        let groups = columns / groupSize
        return groups * (groups + 1) / 2 * groupSize * groupSize * 4
    }

    /// Of memory while it is made: the file's bytes, the triangle, and a square of doubles.
    static func workByteCount(columns: Int) -> Int {
        columns * columns * 8 + 2 * PackedTriangle.count(order: columns) * 4 + byteCount(columns: columns)
    }

    private func offset(ofRow row: Int) -> Int {
        let group = row / Self.groupSize
        let before = group * columnCount - Self.groupSize * group * (group - 1) / 2
        return before * Self.groupSize + row % Self.groupSize * (columnCount - group * Self.groupSize)
    }

    private func writableRow(_ row: Int) -> UnsafeMutablePointer<Float> {
        unsafe factor.base.assumingMemoryBound(to: Float.self) + offset(ofRow: row)
    }

    /// R's row (in `order`), from its group's first column on.
    func row(_ row: Int) -> UnsafePointer<Float> { unsafe UnsafePointer(writableRow(row)) }
}

/// The lower triangle of a symmetric matrix, row after row.
package struct PackedTriangle: Sendable, Equatable {
    package let order: Int
    package private(set) var values: [Float]

    /// - Precondition: as many values as `count(order:)` says.
    package init(order: Int, values: [Float]) {
        precondition(values.count == Self.count(order: order))
        self.order = order
        self.values = values
    }

    package static func count(order: Int) -> Int { order * (order + 1) / 2 }

    /// - Precondition: `row >= column`.
    package subscript(row: Int, column: Int) -> Float { values[row * (row + 1) / 2 + column] }
}

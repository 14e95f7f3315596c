import Compute

extension MatrixEncoder {
    /// Rounds rows group after group, each to where it makes up best for the errors of those before it.
    ///
    /// - Parameters:
    ///   - values: row-major.
    ///   - codes, scales: as `Kernels.encode` gives them.
    /// - Returns: nil for values that no f16 scale can hold.
    static func compensate(
        _ values: UnsafePointer<Float>, rows: Int, _ compensation: Compensation, _ format: BlockFormat,
        _ table: CodeTable, _ kernels: Kernels, codes: UnsafeMutablePointer<UInt8>,
        scales: UnsafeMutablePointer<UInt16>
    ) -> Loss? {
        let columns = compensation.columnCount
        let work = CompensationScratch(rows: rows, columns: columns)
        unsafe work.arrange(values, rows: rows, compensation)
        var loss = Loss()
        for group in compensation.order.indices {
            let first = group * Compensation.groupSize
            work.gatherFactor(compensation, group)
            for row in Swift.stride(from: 0, to: rows, by: Kernels.compensatedRows) {
                let offset = row * columns + first
                let lost = unsafe kernels.encodeGroup(
                    format, table: table, work.values + offset, drift: work.drift + offset, rowStride: columns,
                    rows: min(Kernels.compensatedRows, rows - row), factor: work.factor,
                    scales: work.scales + row * compensation.order.count + group,
                    scaleStride: compensation.order.count, codes: work.codes + offset,
                    errors: work.errors + row * Compensation.groupSize)
                guard let lost else { return nil }
                loss += Loss(lost)
            }
            work.passOn(compensation, group, rows: rows, kernels)
        }
        unsafe work.restore(rows: rows, compensation, codes: codes, scales: scales)
        return loss
    }
}

/// Some rows with their columns in the order in which they are rounded.
@safe private struct CompensationScratch: ~Copyable {
    /// [rows, columns]
    let values: UnsafeMutablePointer<Float>
    /// Σ e_i R_ik over the groups before, [rows, columns].
    let drift: UnsafeMutablePointer<Float>
    /// [rows, columns]
    let codes: UnsafeMutablePointer<UInt8>
    /// [rows, groups]
    let scales: UnsafeMutablePointer<UInt16>
    /// Of one group, [rows, 32].
    let errors: UnsafeMutablePointer<Float>
    /// R within a group, [32, 32].
    let factor: UnsafeMutablePointer<Float>
    private let columns: Int

    /// Columns of drift that stay in a first-level cache while a group's errors are passed on.
    private static let tileSize = 1024

    init(rows: Int, columns: Int) {
        let size = Compensation.groupSize
        unsafe values = .allocate(capacity: rows * columns)
        unsafe drift = .allocate(capacity: rows * columns)
        unsafe drift.initialize(repeating: 0, count: rows * columns)
        unsafe codes = .allocate(capacity: rows * columns)
        unsafe scales = .allocate(capacity: rows * columns / size)
        unsafe errors = .allocate(capacity: rows * size)
        unsafe factor = .allocate(capacity: size * size)
        self.columns = columns
    }

    deinit {
        unsafe values.deallocate()
        unsafe drift.deallocate()
        unsafe codes.deallocate()
        unsafe scales.deallocate()
        unsafe errors.deallocate()
        unsafe factor.deallocate()
    }

    borrowing func arrange(_ source: UnsafePointer<Float>, rows: Int, _ compensation: Compensation) {
        for row in 0..<rows {
            let (from, to) = unsafe (source + row * columns, values + row * columns)
            for (place, column) in compensation.columnOrder.enumerated() { unsafe to[place] = from[column] }
        }
    }

    borrowing func gatherFactor(_ compensation: Compensation, _ group: Int) {
        let size = Compensation.groupSize
        for row in 0..<size {
            unsafe (factor + row * size).update(from: compensation.row(group * size + row), count: size)
        }
    }

    /// Adds a group's errors to the drift of all later columns.
    borrowing func passOn(_ compensation: Compensation, _ group: Int, rows: Int, _ kernels: Kernels) {
        let size = Compensation.groupSize
        let next = (group + 1) * size
        for tile in stride(from: next, to: columns, by: Self.tileSize) {
            let count = min(Self.tileSize, columns - tile)
            for row in 0..<rows {
                for column in 0..<size {
                    let factors = unsafe compensation.row(group * size + column) + (tile - group * size)
                    unsafe kernels.axpy(
                        errors[row * size + column], factors, count: count, into: drift + row * columns + tile)
                }
            }
        }
    }

    borrowing func restore(
        rows: Int, _ compensation: Compensation, codes target: UnsafeMutablePointer<UInt8>,
        scales targetScales: UnsafeMutablePointer<UInt16>
    ) {
        let groups = compensation.order.count
        for row in 0..<rows {
            let (from, to) = unsafe (codes + row * columns, target + row * columns)
            for (place, column) in compensation.columnOrder.enumerated() { unsafe to[column] = from[place] }
            for (place, group) in compensation.order.enumerated() {
                unsafe targetScales[row * groups + group] = scales[row * groups + place]
            }
        }
    }
}

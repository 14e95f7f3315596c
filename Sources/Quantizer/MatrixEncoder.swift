package import Compute

/// Turns rows of floats into the bytes of a block format, in the place that `MatrixShape` gives them.
///
/// Rows are encoded in any order and by any number of threads, whole panels at a time; the bytes don't depend on it.
package struct MatrixEncoder: Sendable {
    package var shape: MatrixShape { packing.shape }
    private let packing: MatrixPacking
    /// Bytes from one panel (or row) to the next; more than the shape's own where two matrices alternate.
    let stride: Int
    /// What a `q4` index stands for.
    package let table: CodeTable
    private let method: ScaleMethod
    /// How much an error in each column counts; nil: all the same.
    private let weights: [Float]?
    /// What errors in several columns cost together; then `weights` aren't looked at.
    private let compensation: Compensation?
    /// Bytes from one panel of refinements to the next; nil for a matrix of one plane.
    private let refinementStride: Int?
    private let kernels: Kernels

    /// Whether the codes get a second plane.
    var isRefined: Bool { refinementStride != nil }

    /// What encoding lost.
    package struct Loss: Sendable, Equatable {
        /// Σ (x − x̂)²
        package var error = 0.0
        /// Σ x²
        package var energy = 0.0
        /// Σ w (x − x̂)² with every column's weight w; of the first plane, where there are two.
        package var weightedError = 0.0
        /// Σ w x²
        package var weightedEnergy = 0.0
        /// Σ (x − x̂)² with the first plane alone, where there are two.
        package var coarseError = 0.0

        package init() {}

        init(_ loss: Kernels.EncodingLoss) {
            (error, energy, weightedError, weightedEnergy) = loss
        }

        init(_ loss: Kernels.EncodingLoss, refinedError: Double) {
            self.init(loss)
            coarseError = error
            error = refinedError
        }

        package static func += (left: inout Loss, right: Loss) {
            left.error += right.error
            left.energy += right.energy
            left.weightedError += right.weightedError
            left.weightedEnergy += right.weightedEnergy
            left.coarseError += right.coarseError
        }

        package static func + (left: Loss, right: Loss) -> Loss {
            var sum = left
            sum += right
            return sum
        }

        /// ‖x − x̂‖ / ‖x‖; 0 for a matrix of zeros.
        package var relative: Double { energy > 0 ? (error / energy).squareRoot() : 0 }

        /// The loss of the first plane alone; nil where there is no second one.
        package var coarse: Loss? {
            guard coarseError > 0 else { return nil }
            var loss = self
            loss.error = coarseError
            loss.coarseError = 0
            return loss
        }
    }

    /// - Parameters:
    ///   - method: plain rounding needs the linear table.
    ///   - weights: one a column, finite and not negative.
    ///   - compensation: instead of weights, for a quantised format: what is lost is then e H eᵀ, not Σ w e².
    ///   - refinementStride: for a second plane, of a `q4` matrix in panels with the non-linear table.
    package init(
        _ shape: MatrixShape, stride: Int? = nil, table: CodeTable = .linear, method: ScaleMethod = .search,
        weights: [Float]? = nil, compensation: Compensation? = nil, refinementStride: Int? = nil,
        kernels: Kernels = .best
    ) {
        precondition(weights == nil || weights?.count == shape.columns)
        precondition(compensation == nil || compensation?.columnCount == shape.columns && method == .search)
        precondition(method == .search || table == .linear)
        precondition(
            refinementStride == nil
                || shape.format == .q4 && shape.layout == .panels && table == .nonLinear && compensation == nil)
        packing = MatrixPacking(shape)
        self.stride = stride ?? shape.strideByteCount
        self.table = table
        self.method = method
        self.weights = weights
        self.compensation = compensation
        self.refinementStride = refinementStride
        self.kernels = kernels
    }

    /// What encoding some rows would lose, without keeping the result; nil for values that no f16 scale can hold.
    ///
    /// - Precondition: a quantised format.
    package func loss(of values: UnsafePointer<Float>, rows: Int) -> Loss? {
        let scratch = Scratch(rows: rowsTogether, columns: shape.columns)
        var total = Loss()
        for first in Swift.stride(from: 0, to: rows, by: rowsTogether) {
            let count = min(rowsTogether, rows - first)
            guard let loss = unsafe quantize(values + first * shape.columns, count, scratch) else { return nil }
            total += loss
        }
        return total
    }

    /// - Parameters:
    ///   - values: the rows `rows`, row-major, all finite.
    ///   - rows: from a multiple of 8 to a multiple of 8 or the last row.
    ///   - base: the matrix's first byte; `shape` (or `stride`) bounds what is written.
    ///   - plane: its second plane's first byte, if it has one.
    /// - Throws: `outOfRange` for values that no f16 scale can hold.
    package func encode(
        _ values: UnsafePointer<Float>, rows: Range<Int>, into base: UnsafeMutableRawPointer,
        refinements plane: UnsafeMutableRawPointer? = nil
    ) throws(QuantizerError) -> Loss {
        precondition(rows.lowerBound.isMultiple(of: MatrixShape.panelRows) && rows.upperBound <= shape.rows)
        var loss = Loss()
        let scratch = Scratch(rows: rowsTogether, columns: shape.columns)
        for first in Swift.stride(from: rows.lowerBound, to: rows.upperBound, by: rowsTogether) {
            let source = unsafe values + (first - rows.lowerBound) * shape.columns
            let count = min(rowsTogether, rows.upperBound - first)
            switch shape.format {
            case .q4, .q8:
                guard let lost = unsafe quantize(source, count, scratch) else {
                    throw QuantizerError(
                        code: .outOfRange, message: "the weights are too large for f16 scales",
                        advice: "Convert this model with --type bf16")
                }
                loss += lost
            case .bf16: unsafe round(source, count, scratch, &loss)
            case .f32: unsafe scratch.bytes.copyMemory(from: source, byteCount: count * shape.columns * 4)
            case .f16:
                throw QuantizerError(
                    code: .outOfRange, message: "f16 isn't written, because it can't hold every weight")
            }
            for block in first / packing.rowsPerBlock..<(first + count + packing.rowsPerBlock - 1)
                / packing.rowsPerBlock
            {
                let row = block * packing.rowsPerBlock - first
                unsafe pack(block, from: scratch, row: row, into: base + block * stride)
                if let refinementStride, let plane = unsafe plane {
                    unsafe packing.packRefinements(
                        block, scratch.refinements + row * shape.columns, into: plane + block * refinementStride)
                }
            }
        }
        return loss
    }

    /// A panel, or with compensation as many as one reading of the factor serves.
    private var rowsTogether: Int { compensation == nil ? MatrixShape.panelRows : 4 * Kernels.compensatedRows }

    /// Some rows in their format, before they are put in their layout.
    @safe private struct Scratch: ~Copyable {
        /// Codes or floats, [rows, columns].
        let bytes: UnsafeMutableRawPointer
        /// f16, [rows, columns / 32].
        let scales: UnsafeMutablePointer<UInt16>
        /// Behind the codes, [rows, columns].
        var refinements: UnsafeMutablePointer<UInt8> {
            unsafe (bytes + codeCount).assumingMemoryBound(to: UInt8.self)
        }
        private let codeCount: Int

        init(rows: Int, columns: Int) {
            codeCount = rows * columns
            unsafe bytes = .allocate(byteCount: rows * columns * 4, alignment: 64)
            unsafe scales = .allocate(capacity: rows * (columns / BlockFormat.groupSize + 1))
        }

        deinit {
            unsafe bytes.deallocate()
            unsafe scales.deallocate()
        }
    }

    /// Whole panels, whatever the layout: the search takes a group a lane.
    private func quantize(_ values: UnsafePointer<Float>, _ rows: Int, _ scratch: borrowing Scratch) -> Loss? {
        let codes = unsafe scratch.bytes.assumingMemoryBound(to: UInt8.self)
        let scales = unsafe scratch.scales
        if let compensation {
            return unsafe Self.compensate(
                values, rows: rows, compensation, shape.format, table, kernels, codes: codes, scales: scales)
        }
        return unsafe withWeights { weights in
            if isRefined {
                return unsafe kernels.encodeRefined(
                    values, rowStride: shape.columns, rows: rows, groups: shape.groupsPerRow, weights: weights,
                    scales: scales, codes: codes, refinements: scratch.refinements
                ).map { Loss($0.coarse, refinedError: $0.refinedError) }
            }
            return unsafe kernels.encode(
                shape.format, table: table, method: method, values, rowStride: shape.columns, rows: rows,
                groups: shape.groupsPerRow, weights: weights, scales: scales, codes: codes
            ).map(Loss.init)
        }
    }

    private func withWeights<Result>(_ body: (UnsafePointer<Float>?) -> Result) -> Result {
        guard let weights else { return body(nil) }
        return unsafe weights.withUnsafeBufferPointer { unsafe body($0.baseAddress) }
    }

    private func round(_ values: UnsafePointer<Float>, _ rows: Int, _ scratch: borrowing Scratch, _ loss: inout Loss) {
        let count = rows * shape.columns
        let rounded = unsafe scratch.bytes.assumingMemoryBound(to: UInt16.self)
        unsafe Kernels.convert(values, count: count, intoBF16: rounded)
        for index in 0..<count {
            let value = unsafe values[index]
            let difference = unsafe value - NumberFormat.float(bf16: rounded[index])
            loss.error += Double(difference * difference)
            loss.energy += Double(value * value)
        }
        loss.weightedError = loss.error
        loss.weightedEnergy = loss.energy
    }

    private func pack(_ block: Int, from scratch: borrowing Scratch, row: Int, into target: UnsafeMutableRawPointer) {
        guard shape.format.isQuantized else {
            let rowByteCount = shape.columns * (shape.format == .f32 ? 4 : 2)
            unsafe packing.packBlock(block, rows: scratch.bytes + row * rowByteCount, into: target)
            return
        }
        let codes = unsafe scratch.bytes.assumingMemoryBound(to: UInt8.self)
        unsafe packing.packBlock(
            block, codes: codes + row * shape.columns, scales: scratch.scales + row * shape.groupsPerRow, into: target)
    }
}

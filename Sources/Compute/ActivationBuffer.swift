internal import CKernels

/// Scratch for the inputs of matrix products: token rows as floats, and as int8 codes in groups of 32 with an f32
/// scale and the sum of the codes a group.
///
/// The buffer is filled by one thread, or by several that store different tokens after `begin`, and then read by any
/// number of threads.
@safe package final class ActivationBuffer: @unchecked Sendable {
    // @unchecked: nobody reads while somebody fills; the pool's barrier stands between the two.

    package let tokenCapacity: Int
    package let columnCapacity: Int
    /// Tokens and columns of what is loaded now.
    package private(set) var tokenCount = 0
    package private(set) var columnCount = 0
    /// The int8 form is there too.
    package private(set) var isQuantized = false

    private let memory: AlignedMemory
    /// [tokens, columns padded to 16]
    private let values: UnsafeMutablePointer<Float>
    /// [tokens, columns padded to 64]
    private let codes: UnsafeMutablePointer<Int8>
    /// [tokens, groups padded to 16]
    private let scales: UnsafeMutablePointer<Float>
    private let sums: UnsafeMutablePointer<Int32>

    package init(tokenCapacity: Int, columnCapacity: Int) throws(ComputeError) {
        self.tokenCapacity = tokenCapacity
        self.columnCapacity = columnCapacity
        let columns = Self.codeStride(columnCapacity)
        let groups = Self.groupStride(columnCapacity)
        let valueBytes = tokenCapacity * columns * 4
        let codeBytes = tokenCapacity * columns
        let groupBytes = tokenCapacity * groups * 4
        memory = try AlignedMemory(byteCount: valueBytes + codeBytes + 2 * groupBytes)
        let base = unsafe memory.base
        unsafe values = base.assumingMemoryBound(to: Float.self)
        unsafe codes = (base + valueBytes).assumingMemoryBound(to: Int8.self)
        unsafe scales = (base + valueBytes + codeBytes).assumingMemoryBound(to: Float.self)
        unsafe sums = (base + valueBytes + codeBytes + groupBytes).assumingMemoryBound(to: Int32.self)
    }

    /// Bytes that a buffer of this capacity takes.
    package static func byteCount(tokenCapacity: Int, columnCapacity: Int) -> Int {
        tokenCapacity * (codeStride(columnCapacity) * 5 + groupStride(columnCapacity) * 8)
    }

    /// Loads `tokens` rows of `columns` floats that stand `stride` apart.
    ///
    /// - Parameter quantize: also makes the int8 form that `q8` and `q4` matrices need; `columns` is then a multiple of
    ///   32. Per group: scale = largest magnitude / 127, codes to nearest even. An infinity or NaN makes every
    ///   product with its group NaN; magnitudes below 1e-30 count as zero.
    package func load(
        _ values: UnsafePointer<Float>, tokens: Int, columns: Int, stride: Int, quantize: Bool, kernels: Kernels
    ) {
        begin(tokens: tokens, columns: columns, quantize: quantize)
        for token in 0..<tokens { unsafe store(values + token * stride, token: token, kernels: kernels) }
    }

    /// Sets the shape of what the following `store` calls fill in.
    package func begin(tokens: Int, columns: Int, quantize: Bool) {
        precondition(tokens >= 0 && tokens <= tokenCapacity && columns >= 0 && columns <= columnCapacity)
        precondition(!quantize || columns % BlockFormat.groupSize == 0)
        tokenCount = tokens
        columnCount = columns
        isQuantized = quantize
    }

    /// Fills in one token's row; different tokens may be stored by different threads.
    package func store(_ row: UnsafePointer<Float>, token: Int, kernels: Kernels) {
        precondition(token >= 0 && token < tokenCount)
        unsafe (values + token * Self.codeStride(columnCount)).update(from: row, count: columnCount)
        guard isQuantized else { return }
        let group = token * Self.groupStride(columnCount)
        unsafe kernels.table.pointee.quantize(
            row, Int64(columnCount), codes + token * Self.codeStride(columnCount), scales + group, sums + group)
    }

    /// Copies chosen tokens of another buffer, in the given order, without quantising them again.
    package func gather(_ source: ActivationBuffer, tokens: UnsafeBufferPointer<Int32>) {
        begin(tokens: tokens.count, columns: source.columnCount, quantize: source.isQuantized)
        let stride = Self.codeStride(columnCount)
        let groups = Self.groupStride(columnCount)
        for token in 0..<tokens.count {
            let from = unsafe Int(tokens[token])
            precondition(from >= 0 && from < source.tokenCount)
            unsafe (values + token * stride).update(from: source.values + from * stride, count: columnCount)
            guard isQuantized else { continue }
            unsafe (codes + token * stride).update(from: source.codes + from * stride, count: columnCount)
            unsafe (scales + token * groups).update(from: source.scales + from * groups, count: groups)
            unsafe (sums + token * groups).update(from: source.sums + from * groups, count: groups)
        }
    }

    var view: moed_activations {
        unsafe moed_activations(
            values: values, value_stride: Int64(Self.codeStride(columnCount)), codes: codes,
            code_stride: Int64(Self.codeStride(columnCount)), scales: scales, sums: sums,
            group_stride: Int64(Self.groupStride(columnCount)))
    }

    private static func codeStride(_ columns: Int) -> Int { MatrixShape.padded(columns) }

    private static func groupStride(_ columns: Int) -> Int {
        (columns / BlockFormat.groupSize + 15) / 16 * 16
    }
}

internal import CKernels

/// Scratch for the inputs of matrix products: token rows as floats, and as int8 codes in groups of 32 with an f32
/// scale and a correction a group.
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
    /// The int8 form is there.
    package private(set) var isQuantized = false
    /// The floats are there.
    package private(set) var hasFloats = true

    private let memory: AlignedMemory
    /// [tokens, columns padded to 64]
    private let values: UnsafeMutablePointer<Float>
    /// [groups, tokens, 32]: a group of all tokens stands together, for the products that take several at once.
    private let codes: UnsafeMutablePointer<Int8>
    /// [groups, tokens]
    private let scales: UnsafeMutablePointer<Float>
    /// [groups, tokens]: −8 · Σ codes.
    private let corrections: UnsafeMutablePointer<Int32>

    package init(tokenCapacity: Int, columnCapacity: Int) throws(ComputeError) {
        self.tokenCapacity = tokenCapacity
        self.columnCapacity = columnCapacity
        let columns = MatrixShape.padded(columnCapacity)
        let valueBytes = tokenCapacity * columns * 4
        let codeBytes = tokenCapacity * columns
        let groupBytes = tokenCapacity * columns / BlockFormat.groupSize * 4
        memory = try AlignedMemory(byteCount: valueBytes + codeBytes + 2 * groupBytes)
        let base = unsafe memory.base
        unsafe values = base.assumingMemoryBound(to: Float.self)
        unsafe codes = (base + valueBytes).assumingMemoryBound(to: Int8.self)
        unsafe scales = (base + valueBytes + codeBytes).assumingMemoryBound(to: Float.self)
        unsafe corrections = (base + valueBytes + codeBytes + groupBytes).assumingMemoryBound(to: Int32.self)
    }

    /// Bytes that a buffer of this capacity takes.
    package static func byteCount(tokenCapacity: Int, columnCapacity: Int) -> Int {
        let columns = MatrixShape.padded(columnCapacity)
        return tokenCapacity * (columns * 5 + columns / BlockFormat.groupSize * 8)
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
    ///
    /// - Parameter floats: also keeps the floats, for matrices that aren't quantised; without the int8 form they are kept
    ///   whatever is said.
    package func begin(tokens: Int, columns: Int, quantize: Bool, floats: Bool = true) {
        precondition(tokens >= 0 && tokens <= tokenCapacity && columns >= 0 && columns <= columnCapacity)
        precondition(!quantize || columns % BlockFormat.groupSize == 0)
        hasFloats = floats || !quantize
        tokenCount = tokens
        columnCount = columns
        isQuantized = quantize
    }

    /// Fills in one token's row; different tokens may be stored by different threads.
    package func store(_ row: UnsafePointer<Float>, token: Int, kernels: Kernels) {
        precondition(token >= 0 && token < tokenCount)
        if hasFloats { unsafe (values + token * valueStride).update(from: row, count: columnCount) }
        if isQuantized { unsafe quantize(row, token: token, kernels) }
    }

    private func quantize(_ row: UnsafePointer<Float>, token: Int, _ kernels: Kernels) {
        unsafe kernels.table.pointee.quantize(
            row, Int64(columnCount), Int64(tokenCount), codes + token * BlockFormat.groupSize,
            scales + token, corrections + token)
    }

    /// Fills in a row as two tokens, whose products with any matrix add up to the row's: of the int8 form the second token
    /// has what the first one's rounding left, so that inputs are within a 60,000th of their group's largest.
    package func store(_ row: UnsafePointer<Float>, token: Int, remainder: Int, kernels: Kernels) {
        precondition(remainder >= 0 && remainder < tokenCount && remainder != token)
        unsafe store(row, token: token, kernels: kernels)
        let rest = unsafe values + remainder * valueStride
        if isQuantized {
            let size = BlockFormat.groupSize
            for group in 0..<columnCount / size {
                let place = group * tokenCount + token
                let scale = unsafe scales[place]
                for k in 0..<size {
                    unsafe rest[group * size + k] = row[group * size + k] - scale * Float(codes[place * size + k])
                }
            }
            unsafe quantize(rest, token: remainder, kernels)
        }
        // The first token's floats are the whole row.
        if hasFloats { unsafe rest.update(repeating: 0, count: columnCount) }
    }

    /// Takes one token from another buffer, without quantising it again; different tokens may be gathered by different
    /// threads. `begin` has given both the same columns, and the source has what is wanted here.
    package func gather(_ source: ActivationBuffer, from: Int, token: Int) {
        precondition(from >= 0 && from < source.tokenCount && token >= 0 && token < tokenCount)
        precondition(source.columnCount == columnCount && source.isQuantized == isQuantized)
        precondition(source.hasFloats || !hasFloats)
        if hasFloats {
            unsafe (values + token * valueStride).update(from: source.values + from * valueStride, count: columnCount)
        }
        guard isQuantized else { return }
        let size = BlockFormat.groupSize
        for group in 0..<columnCount / size {
            let (place, origin) = (group * tokenCount + token, group * source.tokenCount + from)
            // A call to copy as few bytes costs more than the copy.
            let some = unsafe UnsafeRawPointer(source.codes + origin * size).load(as: SIMD32<Int8>.self)
            unsafe UnsafeMutableRawPointer(codes + place * size).storeBytes(of: some, as: SIMD32<Int8>.self)
            unsafe scales[place] = source.scales[origin]
            unsafe corrections[place] = source.corrections[origin]
        }
    }

    var view: moed_activations {
        unsafe moed_activations(
            values: values, value_stride: Int64(valueStride), codes: codes, scales: scales, corrections: corrections,
            token_count: Int64(tokenCount))
    }

    private var valueStride: Int { MatrixShape.padded(columnCount) }
}

import Compute
import Container
import Model

/// Where keys and values stand, in blocks of positions.
@safe enum AttendedRows {
    /// [positions, heads · headSize] each.
    case memory(keys: UnsafePointer<Float>, values: UnsafePointer<Float>, size: Int)
    case cached(CachedLayer)

    static let blockLength = KeyValueCache.blockLength

    /// One head's rows of a block.
    func keys(block: Int, head: Int, size headSize: Int) -> CachedRows {
        switch self {
        case .memory(let keys, _, let size): unsafe Self.rows(keys, size, block: block, head: head, headSize)
        case .cached(let layer): layer.firstRows(block: block, from: head * headSize, width: headSize)
        }
    }

    func values(block: Int, head: Int, size headSize: Int) -> CachedRows {
        switch self {
        case .memory(_, let values, let size): unsafe Self.rows(values, size, block: block, head: head, headSize)
        case .cached(let layer): layer.secondRows(block: block, from: head * headSize, width: headSize)
        }
    }

    private static func rows(
        _ base: UnsafePointer<Float>, _ size: Int, block: Int, head: Int, _ headSize: Int
    ) -> CachedRows {
        unsafe CachedRows(
            base + block * blockLength * size + head * headSize, format: .f32, stride: size, width: headSize)
    }
}

extension EncoderDecoderModel {
    /// One head's attention of one query: the values' mean, weighted by a softmax of dot products, which aren't scaled, and
    /// of the bias if there is one.
    ///
    /// An online softmax (arXiv 1805.02867) by blocks of positions: the result depends on the query and its positions alone.
    ///
    /// - Parameters:
    ///   - position: the query's own among `positions`.
    ///   - output: [headSize]
    func attend(
        _ query: UnsafePointer<Float>, at position: Int, head: Int, to rows: AttendedRows, positions: Range<Int>,
        bias: PositionBias?, into output: UnsafeMutablePointer<Float>
    ) {
        let (kernels, count) = (model.kernels, shape.headSize)
        unsafe output.update(repeating: 0, count: count)
        var (maximum, sum) = (-Float.infinity, Float(0))
        // The last place is for the factor of what came before.
        unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: AttendedRows.blockLength + 1) { buffer in
            guard let scores = buffer.baseAddress else { return }
            var start = positions.lowerBound
            while start < positions.upperBound {
                let (block, first) = start.quotientAndRemainder(dividingBy: AttendedRows.blockLength)
                let length = min(AttendedRows.blockLength - first, positions.upperBound - start)
                let keys = rows.keys(block: block, head: head, size: count)
                for index in 0..<length {
                    unsafe scores[index] = kernels.dot(query, keys, row: first + index)
                    if let bias { unsafe scores[index] += bias.value(start + index - position, head: head) }
                }
                let greatest = unsafe max(maximum, kernels.maximum(scores, count: length))
                for index in 0..<length { unsafe scores[index] -= greatest }
                unsafe scores[length] = maximum - greatest
                unsafe kernels.exponentials(scores, count: length + 1, into: scores)
                let factor = unsafe scores[length]
                unsafe sum = sum * factor + kernels.sum(scores, count: length)
                unsafe kernels.scale(output, by: factor, count: count)
                let values = rows.values(block: block, head: head, size: count)
                for index in 0..<length {
                    unsafe kernels.axpy(scores[index], values, row: first + index, into: output)
                }
                maximum = greatest
                start += length
            }
        }
        unsafe kernels.scale(output, by: 1 / sum, count: count)
    }

    /// hidden += output · what is in `attended`.
    func addAttended(_ output: Matrix, _ pass: ForwardPass) {
        let scratch = model.scratch
        unsafe model.load(model.input, scratch.floats(.attended), tokens: pass.count, columns: size)
        unsafe model.multiply(output, model.input, tokens: pass.count, into: scratch.floats(.delta))
        model.addToHidden(.delta, pass)
    }

    /// Makes the pass's normed states the input of matrices.
    func loadNormed(_ weight: UnsafePointer<Float>, _ pass: ForwardPass) {
        let scratch = model.scratch
        unsafe model.norm(weight, pass, rows: 0..<pass.count)
        unsafe model.load(model.input, scratch.floats(.normed), tokens: pass.count, columns: hiddenSize)
    }
}

extension Kernels {
    fileprivate func dot(_ x: UnsafePointer<Float>, _ rows: CachedRows, row: Int) -> Float {
        let place = row * rows.stride
        return switch rows.format {
        case .bf16: unsafe dot(x, bf16: rows.base.assumingMemoryBound(to: UInt16.self) + place, count: rows.width)
        default: unsafe dot(x, rows.base.assumingMemoryBound(to: Float.self) + place, count: rows.width)
        }
    }

    fileprivate func axpy(_ a: Float, _ rows: CachedRows, row: Int, into y: UnsafeMutablePointer<Float>) {
        let place = row * rows.stride
        switch rows.format {
        case .bf16:
            unsafe axpy(a, bf16: rows.base.assumingMemoryBound(to: UInt16.self) + place, count: rows.width, into: y)
        default: unsafe axpy(a, rows.base.assumingMemoryBound(to: Float.self) + place, count: rows.width, into: y)
        }
    }
}

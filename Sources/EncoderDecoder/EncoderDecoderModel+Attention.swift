import Compute
import Container
import Model

/// Where keys and values stand.
@safe enum AttendedRows {
    /// [positions, heads · headSize] each.
    case memory(keys: UnsafePointer<Float>, values: UnsafePointer<Float>, size: Int)
    case cached(CachedLayer)

    /// One head's rows.
    func keys(head: Int, size headSize: Int) -> CachedRows {
        switch self {
        case .memory(let keys, _, let size):
            unsafe CachedRows(keys + head * headSize, format: .f32, stride: size, width: headSize)
        case .cached(let layer): layer.firstRows(head: head)
        }
    }

    func values(head: Int, size headSize: Int) -> CachedRows {
        switch self {
        case .memory(_, let values, let size):
            unsafe CachedRows(values + head * headSize, format: .f32, stride: size, width: headSize)
        case .cached(let layer): layer.secondRows(head: head)
        }
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
        let (keys, values) = (rows.keys(head: head, size: count), rows.values(head: head, size: count))
        unsafe output.update(repeating: 0, count: count)
        var (maximum, sum) = (-Float.infinity, Float(0))
        // The last place is for the factor of what came before.
        unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: KeyValueCache.blockLength + 1) { buffer in
            guard let scores = buffer.baseAddress else { return }
            var start = positions.lowerBound
            while start < positions.upperBound {
                let length = min(
                    KeyValueCache.blockLength - start % KeyValueCache.blockLength, positions.upperBound - start)
                for index in 0..<length {
                    unsafe scores[index] = kernels.dot(query, keys, position: start + index)
                    if let bias { unsafe scores[index] += bias.value(start + index - position, head: head) }
                }
                let greatest = unsafe max(maximum, kernels.maximum(scores, count: length))
                for index in 0..<length { unsafe scores[index] -= greatest }
                unsafe scores[length] = maximum - greatest
                unsafe kernels.exponentials(scores, count: length + 1, into: scores)
                let factor = unsafe scores[length]
                unsafe sum = sum * factor + kernels.sum(scores, count: length)
                unsafe kernels.scale(output, by: factor, count: count)
                for index in 0..<length {
                    unsafe kernels.axpy(scores[index], values, position: start + index, into: output)
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
    fileprivate func dot(_ x: UnsafePointer<Float>, _ rows: CachedRows, position: Int) -> Float {
        let row = unsafe rows.row(position)
        return switch rows.format {
        case .bf16: unsafe dot(x, bf16: row.assumingMemoryBound(to: UInt16.self), count: rows.width)
        default: unsafe dot(x, row.assumingMemoryBound(to: Float.self), count: rows.width)
        }
    }

    fileprivate func axpy(_ a: Float, _ rows: CachedRows, position: Int, into y: UnsafeMutablePointer<Float>) {
        let row = unsafe rows.row(position)
        switch rows.format {
        case .bf16: unsafe axpy(a, bf16: row.assumingMemoryBound(to: UInt16.self), count: rows.width, into: y)
        default: unsafe axpy(a, row.assumingMemoryBound(to: Float.self), count: rows.width, into: y)
        }
    }
}

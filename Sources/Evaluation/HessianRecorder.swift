import Compute
import Container
import Model
import Quantizer

/// Σ x xᵀ of some inputs.
final class HessianRecorder: ForwardObserver {
    let observesLogits = false
    let observesInputs = true
    private var triangles: [MatrixInput: Triangle] = [:]
    private let keys: [(key: HessianKey, place: MatrixInput)]
    private let pool: ThreadPool
    private let other: (any ForwardObserver)?

    /// Rows that are added in one go. The number is part of the result: it orders the sums.
    static let rowsTogether = 32

    /// - Parameter other: sees the inputs too.
    init(_ inputs: [HessianPasses.Input], pool: ThreadPool, beside other: (any ForwardObserver)?) throws {
        self.pool = pool
        self.other = other
        var keys: [(key: HessianKey, place: MatrixInput)] = []
        for input in inputs {
            guard let place = input.key.place else { continue }
            keys.append((input.key, place))
            triangles[place] = try Triangle(columns: input.columns)
        }
        self.keys = keys
    }

    func observe(input row: Span<Float>, of place: MatrixInput) {
        triangles[place]?.add(row, pool)
        other?.observe(input: row, of: place)
    }

    func write(to writer: HessianWriter) throws {
        for (key, place) in keys {
            guard let triangle = triangles[place] else { continue }
            triangle.addWaiting(pool)
            try unsafe writer.write(triangle.values, of: key)
            triangles[place] = nil
        }
    }
}

/// One lower triangle, row after row.
@safe private final class Triangle {
    private let columns: Int
    private let sums: AlignedMemory
    /// [rowsTogether, columns]
    private let waiting: AlignedMemory
    private var waitingCount = 0
    private let kernels = Kernels.best

    /// Rows of the triangle that a thread takes at a time.
    private static let stripe = 64

    init(columns: Int) throws(ComputeError) {
        self.columns = columns
        sums = try AlignedMemory(byteCount: PackedTriangle.count(order: columns) * 4)
        waiting = try AlignedMemory(byteCount: HessianRecorder.rowsTogether * columns * 4)
    }

    var values: UnsafeBufferPointer<Float> {
        unsafe UnsafeBufferPointer(
            start: sums.base.assumingMemoryBound(to: Float.self), count: PackedTriangle.count(order: columns))
    }

    func add(_ row: Span<Float>, _ pool: ThreadPool) {
        let target = unsafe waiting.base.assumingMemoryBound(to: Float.self) + waitingCount * columns
        for column in row.indices { unsafe target[column] = row[column] }
        waitingCount += 1
        if waitingCount == HessianRecorder.rowsTogether { addWaiting(pool) }
    }

    func addWaiting(_ pool: ThreadPool) {
        let rows = unsafe waiting.base.assumingMemoryBound(to: Float.self)
        let triangle = unsafe sums.base.assumingMemoryBound(to: Float.self)
        let (count, columns, kernels) = (waitingCount, columns, kernels)
        let stripes = (columns + Self.stripe - 1) / Self.stripe
        pool.forEach(stripes) { stripe in
            // The longest first, so that none of them ends alone.
            let first = (stripes - 1 - stripe) * Self.stripe
            for row in first..<min(first + Self.stripe, columns) {
                for sample in 0..<count {
                    let values = unsafe rows + sample * columns
                    unsafe kernels.axpy(
                        values[row], values, count: row + 1, into: triangle + PackedTriangle.count(order: row))
                }
            }
        }
        waitingCount = 0
    }
}

extension HessianKey {
    /// Where the forward pass meets this input.
    var place: MatrixInput? {
        switch self {
        case .expert(let key, .gateUp): .expert(key)
        case .expert(let key, .down): .expertIntermediate(key)
        case .tensor(let key): key.hessianPlace
        }
    }
}

extension TensorKey {
    fileprivate var hessianPlace: MatrixInput? {
        guard let layer else { return role == .outputNorm ? .output : nil }
        return switch role {
        case .attentionNorm: .attention(layer: layer)
        case .queryLatentNorm: .queryLatent(layer: layer)
        case .keyValueLatentNorm: .keyValueLatent(layer: layer)
        case .attentionOutput: .attended(layer: layer)
        case .feedForwardNorm: .feedForward(layer: layer)
        case .denseDown: .denseIntermediate(layer: layer)
        case .sharedDown: .sharedIntermediate(layer: layer)
        default: nil
        }
    }
}

import Compute

/// How the past of one token is cut: by the token's position alone, so that nothing else decides the order of its
/// sums. A span is attended to by itself, and then the spans are joined in their order.
struct AttentionSpans {
    /// At most `limit`.
    let count: Int
    /// Positions of a span but the last, a multiple of `KeyValueCache.blockLength`.
    let length: Int
    private let positionCount: Int

    static let limit = 8
    /// Spans of several tokens that are attended to together.
    static let together = 4 * limit

    /// - Parameter positionCount: positions that the token sees, its own included.
    init(positionCount: Int) {
        var length = 2 * KeyValueCache.blockLength
        while positionCount > length * Self.limit { length *= 2 }
        self.positionCount = positionCount
        self.length = length
        count = (positionCount + length - 1) / length
    }

    func positions(of span: Int) -> Range<Int> { span * length..<min((span + 1) * length, positionCount) }
}

/// What one head of one token has of some positions: the largest score, the sum of the exponentials and the values'
/// weighted sums.
@safe struct SpanResult {
    let maximum: UnsafeMutablePointer<Float>
    let sum: UnsafeMutablePointer<Float>
    let values: UnsafeMutablePointer<Float>

    /// Adds what a later span has: [count] values.
    func join(_ later: SpanResult, count: Int, _ kernels: Kernels) {
        let larger = unsafe max(maximum.pointee, later.maximum.pointee)
        // Both factors at once; they are 1 or less.
        var factors = unsafe SIMD2(maximum.pointee - larger, later.maximum.pointee - larger)
        unsafe withUnsafeMutablePointer(to: &factors) {
            unsafe $0.withMemoryRebound(to: Float.self, capacity: 2) {
                unsafe kernels.exponentials($0, count: 2, into: $0)
            }
        }
        unsafe maximum.pointee = larger
        unsafe sum.pointee = sum.pointee * factors.x + later.sum.pointee * factors.y
        if factors.x != 1 { unsafe kernels.scale(values, by: factors.x, count: count) }
        unsafe kernels.axpy(factors.y, later.values, count: count, into: values)
    }
}

/// Rows of a pass that follow each other in one sequence and whose past is cut alike.
struct AttentionRun {
    let firstRow: Int
    let count: Int
    /// Of the first row.
    let position: Int
    /// Of the last row.
    let spans: AttentionSpans

    /// Cuts a pass's rows into runs of at most `limit`.
    static func cut(_ rows: [ForwardPass.Row], limit: Int, into runs: inout [AttentionRun]) {
        runs.removeAll(keepingCapacity: true)
        var first = 0
        while first < rows.count {
            let start = rows[first]
            let length = AttentionSpans(positionCount: start.position + 1).length
            var count = 1
            while count < limit, first + count < rows.count {
                let next = rows[first + count]
                let isNext = unsafe next.blocks == start.blocks && next.position == start.position + count
                guard isNext, AttentionSpans(positionCount: next.position + 1).length == length else { break }
                count += 1
            }
            runs.append(
                AttentionRun(
                    firstRow: first, count: count, position: start.position,
                    spans: AttentionSpans(positionCount: start.position + count)))
            first += count
        }
    }
}

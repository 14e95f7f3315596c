package import Container
package import Quantizer

/// Which second-order matrices are recorded in which reading of the text, so that no reading needs more memory than
/// there is.
package struct HessianPasses: Sendable {
    package typealias Input = (key: HessianKey, columns: Int)

    /// Every input once, in order.
    package let passes: [[Input]]
    package var inputs: [Input] { passes.flatMap(\.self) }
    /// Of the pass that takes most.
    package let greatestByteCount: Int

    /// - Parameter limit: bytes of memory for the matrices.
    /// - Throws: `QuantizerError` with `outOfMemory` if a single one passes it.
    package init(_ model: ModelConfiguration, limit: Int) throws(QuantizerError) {
        var passes: [[Input]] = []
        var used = 0
        var greatest = 0
        for input in HessianKey.inputs(of: model) where input.columns.isMultiple(of: Compensation.groupSize) {
            let size = Self.byteCount(columns: input.columns)
            guard size <= limit else {
                throw QuantizerError(
                    code: .outOfMemory,
                    message:
                        "the second-order matrix of \(input.key), of \(input.columns) columns, takes \(size) bytes "
                        + "of memory, and there are \(limit) for it",
                    advice: "Give more with --memory, or calibrate without --hessians and convert with --method search")
            }
            if passes.isEmpty || used + size > limit {
                passes.append([])
                used = 0
            }
            passes[passes.count - 1].append(input)
            used += size
            greatest = max(greatest, used)
        }
        self.passes = passes
        greatestByteCount = greatest
    }

    /// Of one while it is recorded: its lower triangle and the rows that wait to be added.
    static func byteCount(columns: Int) -> Int {
        (PackedTriangle.count(order: columns) + HessianRecorder.rowsTogether * columns) * 4
    }
}

package import Checkpoint
package import Container

/// Writes an importance matrix with second-order matrices, each as soon as it is known: together they pass any memory.
package final class HessianWriter {
    private let assembly: SafetensorsAssembly
    private let keys: [HessianKey]
    private var checksums: [HessianKey: UInt64] = [:]

    /// - Parameter hessians: those that will come.
    package init(
        path: String, model: ModelConfiguration, origin: ImportanceMatrix.Origin,
        hessians: [(key: HessianKey, columns: Int)]
    ) throws(CheckpointError) {
        keys = hessians.map(\.key)
        assembly = try SafetensorsAssembly(
            path: path, metadata: ImportanceMatrix.metadata(origin), tensors: Self.tensors(model, hessians))
    }

    private static func tensors(
        _ model: ModelConfiguration, _ hessians: [(key: HessianKey, columns: Int)]
    ) -> [(name: String, element: ElementType, shape: [Int])] {
        let inputs = ImportanceMatrix.inputs(of: model).sorted { $0.key.description < $1.key.description }
        return inputs.flatMap { key, shape in
            [
                (name: "\(key).sums", element: .f32, shape: [shape.rows, shape.columns]),
                (name: "\(key).counts", element: .i64, shape: [shape.rows]),
            ]
        } + [(HessianStore.checksumName, .i64, [hessians.count])]
            + hessians.map { ("\($0.key)\(HessianStore.suffix)", .f32, [PackedTriangle.count(order: $0.columns)]) }
    }

    /// Bytes that the file will have, near enough.
    package static func fileByteCount(
        _ model: ModelConfiguration, _ hessians: [(key: HessianKey, columns: Int)]
    ) -> Int {
        tensors(model, hessians).reduce(0) { $0 + $1.shape.reduce($1.element.byteCount, *) + 160 }
    }

    /// - Parameter triangle: the lower one of Σ x xᵀ, row after row.
    package func write(_ triangle: UnsafeBufferPointer<Float>, of key: HessianKey) throws(CheckpointError) {
        let bytes = UnsafeRawBufferPointer(triangle)
        checksums[key] = unsafe XXH3.hash(bytes)
        try unsafe assembly.write(bytes, to: "\(key)\(HessianStore.suffix)")
    }

    /// - Parameter matrix: of the model that this was begun with.
    /// - Precondition: every one of the second-order matrices was written.
    package func finish(_ matrix: ImportanceMatrix) throws(CheckpointError) {
        for (key, moments) in matrix.moments {
            try write(moments.sums, to: "\(key).sums")
            try write(moments.counts.map(Int64.init), to: "\(key).counts")
        }
        let ordered = keys.sorted { "\($0)\(HessianStore.suffix)" < "\($1)\(HessianStore.suffix)" }
        try write(ordered.map { checksums[$0] ?? 0 }, to: HessianStore.checksumName)
        try assembly.finish()
    }

    private func write(_ values: [some BitwiseCopyable], to name: String) throws(CheckpointError) {
        var failure: CheckpointError?
        unsafe values.withUnsafeBytes { bytes in
            do throws(CheckpointError) { try unsafe assembly.write(bytes, to: name) } catch { failure = error }
        }
        if let failure { throw failure }
    }
}

/// Where a checkpoint's tensors are found by their names.
protocol WeightSource {
    /// - Parameters:
    ///   - part: of the tensor; nil for all of it.
    ///   - isVector: whether the shape must be `[columns]` and not `[rows, columns]`.
    ///   - used: gets the names of all tensors that the matrix is made of.
    /// - Throws: `.missingTensor` or `.wrongTensor`.
    func matrix(
        _ name: String, _ part: TensorPart?, rows: Int, columns: Int, isVector: Bool, encoding: WeightEncoding?,
        used: inout Set<String>
    ) throws(CheckpointError) -> SourceMatrix

    /// Whether a tensor is of the same type and shape as another and the same to the last bit.
    func isCopy(_ name: String, of original: String) throws(CheckpointError) -> Bool

    /// Everything that is there.
    var listed: [ListedTensor] { get }
}

/// A tensor as a file describes it.
struct ListedTensor {
    var name: String
    var path: String
    /// Bytes from the start of the file.
    var offset: Int
    var byteCount: Int
    /// Type and shape.
    var form: String
}

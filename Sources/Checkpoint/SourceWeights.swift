package import Compute
package import Container

/// A matrix (or, as one row, a vector) of the checkpoint, found and checked, ready to be read by rows.
package struct SourceMatrix: Sendable {
    private let stored: any StoredMatrix

    init(_ stored: some StoredMatrix) { self.stored = stored }

    package var name: String { stored.name }
    package var rows: Int { stored.rows }
    package var columns: Int { stored.columns }
    package var weightCount: Int { rows * columns }

    /// What it is read from.
    package var files: [InputFile] { stored.files }

    /// Bytes in the checkpoint, scales left out.
    package var byteCount: Int { byteCount(ofRows: rows) }

    /// Bytes of so many rows in the checkpoint, scales left out.
    package func byteCount(ofRows count: Int) -> Int { stored.byteCount(ofRows: count) }

    /// Reads rows `range` as binary32 into `destination`, `range.count · columns` values, row-major.
    ///
    /// Needs the rows once more as they are in the file, so large matrices are best read a few rows at a time.
    ///
    /// - Throws: `.notFinite` naming the tensor and the place of the first NaN or infinity, or what reading throws.
    package func readRows(
        _ range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        precondition(destination.count == range.count * columns && range.upperBound <= rows)
        try unsafe stored.readRows(range, into: destination)
    }

    /// Whether reading rows goes through the whole matrix in the file, so that few rows cost nearly what all cost.
    package var isTransposed: Bool { stored.isTransposed }

    /// Reads the rows of several ranges one behind the other, as `readRows` does, and in one pass through the file.
    ///
    /// - Parameter ranges: in ascending order, none of them empty.
    package func readRows(
        _ ranges: [Range<Int>], into destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        precondition(destination.count == ranges.reduce(0) { $0 + $1.count } * columns)
        precondition(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound })
        precondition(ranges.allSatisfy { !$0.isEmpty } && ranges.last?.upperBound ?? 0 <= rows)
        try unsafe stored.readRows(ranges, into: destination)
    }

    /// In which format the container can hold this matrix code for code; nil where it has to be quantised.
    package var importFormat: ImportFormat? { stored.importFormat }

    /// Whether a matrix that is to have this format is taken over as it is.
    package func isTakenOver(as format: BlockFormat) -> Bool { importFormat?.format == format }

    /// Reads rows of a matrix that has an `importFormat` as they are.
    ///
    /// - Parameters:
    ///   - codes: the format's, a byte each, [rows, columns].
    ///   - scales: their bits, [rows, columns / 32].
    /// - Throws: `.notFinite` for scales that are NaN or infinite, or what reading throws.
    package func readPacked(
        _ range: Range<Int>, codes: UnsafeMutableBufferPointer<UInt8>, scales: UnsafeMutableBufferPointer<UInt16>
    ) throws(CheckpointError) {
        precondition(codes.count == range.count * columns && range.upperBound <= rows)
        precondition(scales.count == codes.count / BlockFormat.groupSize)
        try unsafe stored.readPacked(range, codes: codes, scales: scales)
    }
}

/// A format of the container that a checkpoint's own codes and scales fit in.
package struct ImportFormat: Sendable, Equatable {
    package var format: BlockFormat
    /// Of `q4` codes.
    package var table: CodeTable
    package var scaleFormat: ScaleFormat

    package init(format: BlockFormat, table: CodeTable = .linear, scaleFormat: ScaleFormat) {
        self.format = format
        self.table = table
        self.scaleFormat = scaleFormat
    }
}

/// A routed expert of the checkpoint.
package struct SourceExpert: Sendable {
    package let key: ExpertKey
    /// Gate and up, or up alone where there is no gate: [intermediate, hidden].
    package let gateUp: [SourceMatrix]
    /// [hidden, intermediate]
    package let down: SourceMatrix

    /// The first of `gateUp`.
    package var gate: SourceMatrix { gateUp[0] }
    package var up: SourceMatrix { gateUp[gateUp.count - 1] }
    package var matrices: [SourceMatrix] { gateUp + [down] }
}

/// A resident tensor of the checkpoint.
package struct SourceTensor: Sendable {
    package let requirement: TensorRequirement
    package let matrix: SourceMatrix
}

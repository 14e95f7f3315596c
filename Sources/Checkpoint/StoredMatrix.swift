/// A kind of file that matrices are in. What the members mean stands at `SourceMatrix`, which checks their arguments.
protocol StoredMatrix: Sendable {
    var name: String { get }
    var rows: Int { get }
    var columns: Int { get }
    var files: [InputFile] { get }
    var importFormat: ImportFormat? { get }

    func byteCount(ofRows count: Int) -> Int
    /// Whether rows are columns in the file.
    var isTransposed: Bool { get }
    func readRows(
        _ range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError)
    func readRows(
        _ ranges: [Range<Int>], into destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError)
    func readPacked(
        _ range: Range<Int>, codes: UnsafeMutableBufferPointer<UInt8>, scales: UnsafeMutableBufferPointer<UInt16>
    ) throws(CheckpointError)
}

extension StoredMatrix {
    var isTransposed: Bool { false }

    func readRows(
        _ ranges: [Range<Int>], into destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        try unsafe readEach(ranges, into: destination)
    }

    func readEach(
        _ ranges: [Range<Int>], into destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        var start = 0
        for range in ranges {
            let end = start + range.count * columns
            try unsafe readRows(range, into: UnsafeMutableBufferPointer(rebasing: destination[start..<end]))
            start = end
        }
    }
}

/// A kind of file that matrices are in. What the members mean stands at `SourceMatrix`, which checks their arguments.
protocol StoredMatrix: Sendable {
    var name: String { get }
    var rows: Int { get }
    var columns: Int { get }
    var files: [InputFile] { get }
    var importFormat: ImportFormat? { get }

    func byteCount(ofRows count: Int) -> Int
    func readRows(
        _ range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError)
    func readPacked(
        _ range: Range<Int>, codes: UnsafeMutableBufferPointer<UInt8>, scales: UnsafeMutableBufferPointer<UInt16>
    ) throws(CheckpointError)
}

import Checkpoint
import Container
import Synchronization

/// The checksums of a checkpoint's files.
///
/// A file's checksum is that of all its bytes in order, which is what anybody can compare; but its tensors are
/// converted in another order. So a file is read a second time, right after its last tensor has been converted and
/// beside the next batch: then most of it is still in the system's cache, and the disk hardly notices.
final class SourceHashing: Sendable {
    private let files: [InputFile]
    private let state: Mutex<State>

    private struct State {
        /// Units that are still to be made from each file, by path.
        var unitCounts: [String: Int] = [:]
        var isStarted: [Bool]
        var checksums: [UInt64?]
        var notes: [[UInt8]] = []
    }

    init(_ files: [InputFile], _ units: [ConversionUnit]) {
        self.files = files
        var state = State(
            isStarted: Array(repeating: false, count: files.count), checksums: Array(repeating: nil, count: files.count)
        )
        for path in units.flatMap(\.paths) { state.unitCounts[path, default: 0] += 1 }
        self.state = Mutex(state)
    }

    func converted(_ units: ArraySlice<ConversionUnit>) {
        state.withLock { state in
            for path in units.flatMap(\.paths) { state.unitCounts[path, default: 0] -= 1 }
        }
    }

    /// Files of which nothing is to be converted any more and whose checksum nobody has begun.
    func startDue() -> [Int] {
        state.withLock { state in
            let due = files.indices.filter { !state.isStarted[$0] && state.unitCounts[files[$0].path] == 0 }
            for file in due { state.isStarted[file] = true }
            return due
        }
    }

    /// All files whose checksum nobody has begun.
    func startAll() -> [Int] {
        state.withLock { state in files.indices.filter { !state.isStarted[$0] } }
    }

    func finish(_ file: Int, _ checksum: UInt64) {
        state.withLock { state in
            state.checksums[file] = checksum
            state.notes.append(ConversionNote.encoded(file: file, checksum: checksum))
        }
    }

    /// For the journal.
    func takeNotes() -> [[UInt8]] {
        state.withLock { state in
            defer { state.notes = [] }
            return state.notes
        }
    }

    /// A note of an earlier run. The fingerprint vouches that the files are the same.
    func takeUp(_ note: [UInt8]) {
        guard let (file, checksum) = ConversionNote.fileAndChecksum(note), files.indices.contains(file) else { return }
        state.withLock { state in
            state.isStarted[file] = true
            state.checksums[file] = checksum
        }
    }

    var hashedByteCount: Int {
        state.withLock { state in
            zip(files, state.checksums).reduce(0) { $0 + ($1.1 == nil ? 0 : $1.0.byteCount) }
        }
    }

    /// In the files' order; only those that are finished.
    var sources: [SourceFile] {
        state.withLock { state in
            zip(files, state.checksums).compactMap { file, checksum in
                checksum.map { SourceFile(name: file.name, byteCount: file.byteCount, checksum: $0) }
            }
        }
    }

    private static let blockByteCount = 1 << 20

    func checksum(
        of file: Int, progress: ConversionProgress, cancellation: Cancellation
    ) throws -> UInt64 {
        let file = files[file]
        guard var stream = XXH3.Stream() else {
            throw QuantizerError(code: .outOfMemory, message: "there is no memory for a checksum")
        }
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.blockByteCount, alignment: 64)
        defer { unsafe block.deallocate() }
        for start in stride(from: 0, to: file.byteCount, by: Self.blockByteCount) {
            try cancellation.check()
            let part = unsafe UnsafeMutableRawBufferPointer(
                rebasing: block[..<min(block.count, file.byteCount - start)])
            try unsafe file.read(into: part, at: start)
            unsafe stream.update(UnsafeRawBufferPointer(part))
            progress.advanceHash(part.count)
        }
        return stream.finalize()
    }
}

extension ConversionUnit {
    /// Of the files that it is made from.
    fileprivate var paths: Set<String> { Set(parts.flatMap(\.source.files).map(\.path)) }
}

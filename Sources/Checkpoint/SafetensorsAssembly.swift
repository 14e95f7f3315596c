import Glibc
import SystemPackage

/// Writes a safetensors file that is larger than memory: names, types and shapes are known at first, the tensors' bytes
/// come in any order, and the file gets its name only when it is complete.
package final class SafetensorsAssembly {
    private let path: String
    private let descriptor: FileDescriptor
    private let places: [String: Range<Int>]
    private var isFinished = false

    private var partialPath: String { path + ".partial" }

    /// What stays unwritten is zero.
    ///
    /// - Parameter tensors: each name once.
    package init(
        path: String, metadata: [String: String], tensors: [(name: String, element: ElementType, shape: [Int])]
    ) throws(CheckpointError) {
        self.path = path
        let header = SafetensorsWriter.header(metadata, tensors)
        var places: [String: Range<Int>] = [:]
        var end = header.count
        for tensor in tensors {
            let start = end
            end += tensor.shape.reduce(tensor.element.byteCount, *)
            places[tensor.name] = start..<end
        }
        precondition(places.count == tensors.count)
        self.places = places
        do {
            descriptor = try FileDescriptor.open(
                FilePath(path + ".partial"), .writeOnly, options: [.create, .truncate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead])
        } catch {
            throw CheckpointError(.inputOutput, "can't be written: \(error)", path: path)
        }
        do {
            try descriptor.writeAll(toAbsoluteOffset: 0, header)
            try descriptor.resize(to: Int64(end))
        } catch {
            throw Self.failure(error, path)
        }
    }

    deinit {
        try? descriptor.close()
        if !isFinished { unsafe unlink(partialPath) }
    }

    private static func failure(_ error: any Error, _ path: String) -> CheckpointError {
        CheckpointError(
            .inputOutput, "can't be written: \(error)", path: path,
            advice: error as? Errno == .noSpace ? "Make room, or choose another disk" : nil)
    }

    /// - Precondition: a tensor of that name and as many bytes as it has.
    package func write(_ bytes: UnsafeRawBufferPointer, to name: String) throws(CheckpointError) {
        guard let place = places[name], place.count == bytes.count else {
            preconditionFailure("the assembly was begun without \(bytes.count) bytes of \(name)")
        }
        do {
            try unsafe descriptor.writeAll(toAbsoluteOffset: Int64(place.lowerBound), bytes)
        } catch {
            throw Self.failure(error, path)
        }
    }

    /// Gives the file its name; one that had it is replaced.
    package func finish() throws(CheckpointError) {
        guard unsafe rename(partialPath, path) == 0 else {
            throw Self.failure(Errno(rawValue: errno), path)
        }
        isFinished = true
    }
}

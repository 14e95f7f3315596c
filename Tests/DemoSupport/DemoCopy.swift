import Container
import FoundationEssentials
import Glibc
import TestSupport

/// A copy of the demonstration model that can be damaged and mended.
package final class DemoCopy: Sendable {
    package let path: String
    private let directory: TemporaryDirectory

    package init() throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/demo.moe"
        try FileManager.default.copyItem(atPath: DemoContainer.path(), toPath: path)
    }

    /// Flips a bit in the middle of every expert of the first sparse layer, in place: the readers have the file open.
    package func flipExperts() throws {
        let container = try ContainerReader(path: path)
        let layer = container.metadata.configuration.sparseLayers.firstIndex(of: true)
        let file = open(path, O_RDWR)
        defer { close(file) }
        for record in container.experts.values where record.key.layer == layer {
            let offset = off_t(record.offset) + off_t(record.storedByteCount / 2)
            var byte: UInt8 = 0
            guard pread(file, &byte, 1, offset) == 1 else { throw SystemCallFailure(call: "pread", code: errno) }
            byte ^= 1
            guard pwrite(file, &byte, 1, offset) == 1 else { throw SystemCallFailure(call: "pwrite", code: errno) }
        }
    }
}

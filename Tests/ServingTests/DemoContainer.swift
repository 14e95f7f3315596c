import Checkpoint
import Container
import FoundationEssentials
import Glibc
import Quantizer
import Synchronization
import TestSupport

/// The demonstration model in int4, converted once a process.
enum DemoContainer {
    static func path() throws -> String {
        try made.withLock { directory in
            if let existing = directory { return "\(existing.path)/demo.moe" }
            let created = try TemporaryDirectory()
            let checkpoint = try Checkpoint(directory: Fixtures.demo)
            let conversion = Conversion(
                checkpoint, plan: FormatPlan(checkpoint.configuration, type: .int4, isPure: false), packing: .auto,
                threadCount: 2,
                progress: ConversionProgress(
                    totalByteCount: Conversion.sourceByteCount(of: checkpoint), hashByteCount: 0))
            _ = try conversion.run(
                into: ContainerWriter(path: "\(created.path)/demo.moe", replacing: false), tool: "tests")
            directory = created
            atexit { DemoContainer.made.withLock { $0 = nil } }
            return "\(created.path)/demo.moe"
        }
    }

    private static let made = Mutex<TemporaryDirectory?>(nil)

    /// Flips a bit in every expert of the first sparse layer, in place: a daemon that serves the file has it open.
    static func flipExperts(of path: String) throws {
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

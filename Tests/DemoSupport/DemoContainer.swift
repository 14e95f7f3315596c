import Checkpoint
import Container
import Glibc
import Quantizer
import Synchronization
import TestSupport

/// The demonstration model in int4, converted once a process.
package enum DemoContainer {
    package static func path() throws -> String {
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
}

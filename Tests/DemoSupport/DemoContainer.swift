import Checkpoint
import Container
import Glibc
package import Quantizer
import Synchronization
import TestSupport

/// The demonstration model, converted once a process and type.
package enum DemoContainer {
    package static func path(_ type: ConversionType = .int4) throws -> String {
        try made.withLock { made in
            let directory: TemporaryDirectory
            if let existing = made {
                directory = existing
            } else {
                directory = try TemporaryDirectory()
                made = directory
                atexit { DemoContainer.made.withLock { $0 = nil } }
            }
            let path = "\(directory.path)/\(type == .int4 ? "demo" : "demo-\(type.rawValue)").moe"
            guard access(path, F_OK) != 0 else { return path }
            let checkpoint = try Checkpoint(directory: Fixtures.demo)
            let conversion = Conversion(
                checkpoint, plan: FormatPlan(checkpoint.configuration, type: type, isPure: false), packing: .auto,
                threadCount: 2,
                progress: ConversionProgress(
                    totalByteCount: Conversion.sourceByteCount(of: checkpoint), hashByteCount: 0))
            _ = try conversion.run(into: ContainerWriter(path: path, replacing: false), tool: "tests")
            return path
        }
    }

    private static let made = Mutex<TemporaryDirectory?>(nil)
}

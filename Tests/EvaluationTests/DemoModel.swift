import Compute
import Container
import Glibc
import Model
import Synchronization
import TestSupport
import Testing

/// The demonstration model in several formats, each converted once a process.
enum DemoModel {
    static let text = "\(Fixtures.demo)/samples.txt"

    static func path(_ type: String, _ options: [String] = []) throws -> String {
        try directory.withLock { directory in
            let made: TemporaryDirectory
            if let existing = directory {
                made = existing
            } else {
                made = try TemporaryDirectory()
                directory = made
                atexit { DemoModel.directory.withLock { $0 = nil } }
            }
            let path = "\(made.path)/\(type)\(options.joined()).moe"
            if access(path, R_OK) != 0 {
                let outcome = try Program.run(["convert", Fixtures.demo, "-o", path, "--type", type] + options)
                try #require(outcome.code == 0, "\(outcome.error)")
            }
            return path
        }
    }

    static func container(_ type: String, _ options: [String] = []) throws -> ContainerReader {
        try ContainerReader(path: try path(type, options))
    }

    static func load(
        _ type: String, _ options: [String] = [], context: Int, chunk: Int? = nil, expertSlots: Int? = nil,
        cacheFormat: CacheFormat? = nil, planes: PlaneChoice? = nil,
        threads: Int = 2
    ) throws -> LoadedModel {
        let container = try container(type, options)
        let plan = try MemoryPlan(
            container: container,
            options: MemoryPlan.Options(
                memory: 1 << 30, context: context, expertSlots: expertSlots, cacheFormat: cacheFormat, chunk: chunk,
                planes: planes))
        return try LoadedModel(container: container, plan: plan, threadCount: threads, kernels: .best)
    }

    private static let directory = Mutex<TemporaryDirectory?>(nil)
}

/// |x − y| / |y|
func relativeDifference(_ x: Double, _ y: Double) -> Double { abs(x - y) / abs(y) }

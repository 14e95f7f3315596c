import Compute
import Glibc
import Synchronization
import TestSupport
import Testing

@Suite("Threads", .serialized)
struct ThreadPoolTests {
    @Test("Every item is done exactly once, round after round", arguments: 1...4)
    func everyItemOnce(threads: Int) {
        let pool = ThreadPool(threadCount: threads)
        #expect(pool.threadCount == threads)
        let counts = (0..<257).map { _ in Counter() }
        for count in [0, 1, 2, 3, threads, 64, 257] {
            let rounds = 400
            for _ in 0..<rounds { pool.forEach(count) { counts[$0].increment() } }
            #expect(counts[..<count].allSatisfy { $0.value == rounds })
            #expect(counts[count...].allSatisfy { $0.value == 0 })
            for counter in counts { counter.clear() }
        }
    }

    @Test("What the items wrote is there when the call returns")
    func resultsAreVisible() {
        let pool = ThreadPool(threadCount: 3)
        let values = UnsafeMutableBufferPointer<Int>.allocate(capacity: 1000)
        defer { values.deallocate() }
        for round in 0..<2000 {
            nonisolated(unsafe) let shared = values
            pool.forEach(1000) { shared[$0] = round &+ $0 }
            #expect((0..<1000).allSatisfy { values[$0] == round &+ $0 })
        }
    }

    @Test(
        "Two spinning threads meet within a few microseconds",
        .enabled(if: ThreadCount.available > 1, "this takes two processors"))
    func meeting() {
        let pool = ThreadPool(threadCount: 2)
        let arrived = Counter()
        let rounds = 200
        var best = Duration.seconds(1000)
        // Other tests run at the same time, so the best of many counts, and far more than it takes is allowed.
        for _ in 0..<200 {
            arrived.clear()
            best = min(
                best,
                ContinuousClock().measure {
                    for round in 1...rounds {
                        pool.forEach(2) { _ in
                            arrived.increment()
                            while arrived.value < 2 * round {}
                        }
                    }
                })
        }
        #expect(best / rounds < .microseconds(20))
    }

    @Test("Other threads take part in long items")
    func othersTakePart() {
        let pool = ThreadPool(threadCount: 3)
        let threads = Mutex<Set<pthread_t>>([])
        pool.forEach(12) { _ in
            _ = threads.withLock { $0.insert(pthread_self()) }
            usleep(2000)
        }
        #expect(threads.withLock { $0.count } > 1)
    }

    @Test("Sleeping threads wake for the next job, and an idle pool uses no processor time")
    func sleepsAndWakes() {
        let pool = ThreadPool(threadCount: 4)
        let counter = Counter()
        for round in 1...20 {
            usleep(5000)
            pool.forEach(50) { _ in counter.increment() }
            #expect(counter.value == 50 * round)
        }
        usleep(20_000)
        let start = processorSeconds(of: pool)
        usleep(300_000)
        // Three spinning threads would use 0.9 seconds; other tests of this process run meanwhile.
        #expect(processorSeconds(of: pool) - start < 0.01)
    }

    @Test("A pool that goes away takes its threads with it")
    func ends() {
        let before = threadNames().count
        for _ in 0..<50 {
            let pool = ThreadPool(threadCount: 4)
            pool.forEach(8) { _ in }
        }
        #expect(threadNames().count <= before + 8)
    }

    /// Processor time of the threads that are named after the pool's.
    private func processorSeconds(of pool: ThreadPool) -> Double {
        var ticks = 0.0
        for (id, name) in threadNames() where name == "moed-compute" {
            let fields = read("/proc/self/task/\(id)/schedstat").split(separator: " ")
            ticks += fields.first.flatMap { Double($0) } ?? 0
        }
        return ticks / 1e9
    }
}

/// The threads of this process, by id.
private func threadNames() -> [(id: String, name: String)] {
    guard let directory = opendir("/proc/self/task") else { return [] }
    defer { closedir(directory) }
    var names: [(id: String, name: String)] = []
    while let entry = readdir(directory) {
        let id = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        guard Int(id) != nil else { continue }
        let name = read("/proc/self/task/\(id)/comm")
        names.append((id, String(name.prefix { $0 != "\n" })))
    }
    return names
}

private func read(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(descriptor, &bytes, bytes.count)
    return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
}

private final class Counter: Sendable {
    private let count = Atomic<Int>(0)
    var value: Int { count.load(ordering: .relaxed) }
    func increment() { count.add(1, ordering: .relaxed) }
    func clear() { count.store(0, ordering: .relaxed) }
}

@Suite("The number of threads")
struct ThreadCountTests {
    /// A made-up root directory with the given files.
    private func root(_ files: [String: String]) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        for (path, contents) in files {
            var parent = directory.path
            for component in path.split(separator: "/").dropLast() {
                parent += "/\(component)"
                mkdir(parent, 0o755)
            }
            let descriptor = open("\(directory.path)/\(path)", O_WRONLY | O_CREAT, 0o644)
            let bytes = Array(contents.utf8)
            #expect(write(descriptor, bytes, bytes.count) == bytes.count)
            close(descriptor)
        }
        return directory
    }

    @Test("At least one, and no more than the machine has")
    func available() {
        #expect(ThreadCount.available >= 1)
        #expect(ThreadCount.available <= sysconf(Int32(_SC_NPROCESSORS_CONF)))
    }

    @Test(
        "The quota of the own cgroup or of an ancestor holds, whichever is less",
        arguments: [
            ("max 100000\n", "max 100000\n", nil), ("200000 100000\n", "max 100000\n", 2),
            ("max 100000\n", "300000 100000\n", 3), ("400000 100000\n", "150000 100000\n", 2),
            ("1000 100000\n", "max 100000\n", 1), ("rubbish\n", "max 100000\n", nil),
        ] as [(String, String, Int?)])
    func unified(own: String, parent: String, expected: Int?) throws {
        let root = try root([
            "proc/self/cgroup": "0::/system.slice/moed.service\n",
            "sys/fs/cgroup/system.slice/cpu.max": parent,
            "sys/fs/cgroup/system.slice/moed.service/cpu.max": own,
        ])
        #expect(ThreadCount.quota(root: root.path) == expected)
    }

    @Test("A quota of the first hierarchy holds too", arguments: [("-1\n", nil), ("250000\n", 3)] as [(String, Int?)])
    func legacy(quota: String, expected: Int?) throws {
        let root = try root([
            "proc/self/cgroup": "5:cpu,cpuacct:/box\n4:memory:/box\n0::/box\n",
            "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": quota,
            "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
        ])
        #expect(ThreadCount.quota(root: root.path) == expected)
    }

    @Test(
        "The affinity mask is counted",
        arguments: [("f\n", 4), ("00000001,80000003\n", 4), ("0\n", nil)] as [(String, Int?)])
    func affinity(mask: String, expected: Int?) throws {
        let root = try root(["proc/self/status": "Name:\tmoed\nCpus_allowed:\t\(mask)Cpus_allowed_list:\t0-3\n"])
        #expect(ThreadCount.affinity(root: root.path) == expected)
    }
}

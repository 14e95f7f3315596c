import API
import DemoSupport
import FoundationEssentials
import Glibc
import Serving
import Synchronization
import TestSupport
import Testing

extension ServingSuite {
    @Suite("Memory that gets short")
    struct MemoryPressureTests {
        private let directory: TemporaryDirectory
        private var socket: String { "\(directory.path)/moed.sock" }

        init() throws { directory = try TemporaryDirectory() }

        private func serve(
            _ model: String, _ more: [String] = [], environment: [String: String] = [:], launcher: [String] = []
        ) throws -> ProcessClient {
            ProcessClient(
                moed: try MoedProcess(
                    ["serve", model, "--socket", socket, "--threads", "1"] + more, environment: environment,
                    launcher: launcher), socket: socket)
        }

        @Test("what systemd's FIFO reports shrinks the arena at once, and it grows back slowly")
        func fifo() async throws {
            let fifo = "\(directory.path)/pressure"
            #expect(mkfifo(fifo, 0o600) == 0)
            let client = try serve(
                try DemoContainer.path(), ["--memory", "1G"], environment: ["MEMORY_PRESSURE_WATCH": fifo])
            let before = try await client.text(seed: 1, tokens: 60)
            let planned = try #require(try await client.status().memory.pressure)
            #expect(planned.usableSlotCount == 128)
            #expect(planned.watched == [fifo])
            #expect(planned.shrinkCount == 0)

            let writer = open(fifo, O_WRONLY | O_CLOEXEC)
            defer { close(writer) }
            let start = ContinuousClock.now
            #expect(write(writer, "x", 1) == 1)
            var status = try await client.wait { $0.memory.pressure?.usableSlotCount == 112 }
            #expect(ContinuousClock.now - start < .seconds(1))
            #expect((status.paging.residentCount ?? 999) <= 112)
            // It goes on until the least works, and answers stay the same.
            var least: Int?
            while least == nil {
                _ = write(writer, "more", 4)
                #expect(try await client.text(seed: 1, tokens: 60) == before)
                status = try await client.status()
                if let usable = status.memory.pressure?.usableSlotCount, usable < 16 { least = usable }
                #expect(ContinuousClock.now - start < .seconds(40))
                if ContinuousClock.now - start > .seconds(40) { break }
                try await Task.sleep(for: .milliseconds(200))
            }
            #expect(least == 6)
            #expect((status.memory.pressure?.evictionCount ?? 0) > 0)
            let metrics = try await client.get("/metrics").body
            #expect(metrics.contains("moed_expert_slots_usable 6\n"))
            #expect(metrics.contains(#"moed_expert_arena_changes_total{direction="shrink"} 8"#), "\(metrics)")

            try await client.wait { ($0.memory.pressure?.usableSlotCount ?? 0) > 6 }
            #expect(try await client.text(seed: 1, tokens: 60) == before)
            #expect((try await client.status().memory.pressure?.growthCount ?? 0) > 0)
            let ending = try await client.stop()
            #expect(ending.text.contains("\(fifo) reports that memory is short: 112 of 128 expert slots stay in use"))
            #expect(ending.status == 0)
        }

        @Test("a watch that can't be opened is told of, /dev/null is none, and a flood of reports does no harm")
        func watches() async throws {
            var client = try serve(
                try DemoContainer.path(), ["--memory", "1G"],
                environment: ["MEMORY_PRESSURE_WATCH": "\(directory.path)/missing"])
            #expect(try await client.status().memory.pressure?.watched.contains("\(directory.path)/missing") == false)
            var ending = try await client.stop()
            #expect(ending.text.contains("MEMORY_PRESSURE_WATCH=\(directory.path)/missing: stat: No such file"))

            client = try serve(
                try DemoContainer.path(), ["--memory", "1G"], environment: ["MEMORY_PRESSURE_WATCH": "/dev/null"])
            #expect(try await client.status().memory.pressure?.watched == [])
            ending = try await client.stop()
            #expect(ending.text.contains("nothing reports when memory is short"))

            let fifo = "\(directory.path)/pressure"
            #expect(mkfifo(fifo, 0o600) == 0)
            client = try serve(
                try DemoContainer.path(), ["--memory", "1G"], environment: ["MEMORY_PRESSURE_WATCH": fifo])
            _ = try await client.status()
            let writer = open(fifo, O_WRONLY | O_CLOEXEC | O_NONBLOCK)
            defer { close(writer) }
            let noise = [UInt8](repeating: 1, count: 4096)
            let end = ContinuousClock.now + .seconds(2)
            while ContinuousClock.now < end { if write(writer, noise, noise.count) < 0 { sched_yield() } }
            let usable = try #require(try await client.status().memory.pressure?.usableSlotCount)
            // Two or three reports count.
            #expect(80...112 ~= usable)
            #expect(try await client.complete(seed: 1, tokens: 5).status == 200)
            #expect(try await client.stop().status == 0)
        }

        @Test("a socket as the watch gets what it wants to hear, reports, and may go away")
        func socketWatch() async throws {
            let path = "\(directory.path)/watch"
            let listener = try SocketListener.bind(path: path, mode: 0o600, group: nil, backlog: 1)
            let listening = listener.takeDescriptor()
            defer { close(listening) }
            let client = try serve(
                try DemoContainer.path(), ["--memory", "1G"],
                environment: ["MEMORY_PRESSURE_WATCH": path, "MEMORY_PRESSURE_WRITE": "aGVsbG8="])
            let reporter = try await RawConnection.blocking { accept(listening, nil, nil) }
            #expect(reporter >= 0)
            let greeting = try await RawConnection.blocking {
                withUnsafeTemporaryAllocation(byteCount: 16, alignment: 1) { buffer in
                    String(decoding: buffer.prefix(max(0, recv(reporter, buffer.baseAddress, 5, 0))), as: UTF8.self)
                }
            }
            #expect(greeting == "hello")
            #expect(write(reporter, "x", 1) == 1)
            try await client.wait { $0.memory.pressure?.usableSlotCount == 112 }
            close(reporter)
            // What is gone reports nothing, and the daemon doesn't spin on it.
            try await Task.sleep(for: .seconds(1.5))
            #expect(try await client.status().memory.pressure?.reportCount == 1)
            #expect(try await client.stop().text.contains("\(path) reports no more when memory is short"))
        }

        @Test(
            "a limit that is lowered to a half under load loses no request",
            .enabled(if: MemoryGroup.exists, "a memory control group of version 1 can't be made here"))
        func loweredLimit() async throws {
            let model = try LargeModel()
            let group = try MemoryGroup()
            let limit = 360 << 20
            #expect(group.set(limit: limit))
            let client = try serve(
                model.path, ["--context", "256", "--parallel", "3"],
                launcher: ["/bin/sh", "-c", #"echo $$ >"\#(group.path)/cgroup.procs"; exec "$0" "$@""#])
            let planned = try await client.wait(within: .seconds(60)) { $0.memory.pressure != nil }.memory
            #expect(planned.expertSlotCount == 128, "all experts fit at first")
            var expected: [String] = []
            for seed in 0..<3 { expected.append(try await client.text(seed: seed, tokens: 100)) }

            // Three clients ask without a pause until the limit is a half.
            let isDone = Flag()
            let answers = try await withThrowingTaskGroup(of: [(seed: Int, response: RawResponse)].self) { tasks in
                for seed in 0..<3 {
                    tasks.addTask {
                        var answers: [(seed: Int, response: RawResponse)] = []
                        while !isDone.value {
                            answers.append((seed, try await client.complete(seed: seed, tokens: 100)))
                        }
                        return answers
                    }
                }
                for percent in stride(from: 90, through: 50, by: -10) {
                    let start = ContinuousClock.now
                    while !group.set(limit: limit / 100 * percent) {
                        guard ContinuousClock.now - start < .seconds(30) else {
                            Issue.record("\(percent) % isn't accepted; \(group.usage) bytes are in use")
                            break
                        }
                        try await Task.sleep(for: .milliseconds(200))
                    }
                }
                try await Task.sleep(for: .seconds(3))
                isDone.set()
                return try await tasks.reduce(into: []) { $0 += $1 }
            }
            #expect(answers.count > 3)
            for answer in answers {
                let text = try decode(Completion.self, answer.response).choices.map(\.text).joined()
                #expect(answer.response.status == 200 && text == expected[answer.seed])
            }
            let pressure = try #require(try await client.status().memory.pressure)
            #expect(pressure.usableSlotCount < 128)
            #expect(pressure.shrinkCount > 0)
            #expect(pressure.limitByteCount == limit / 100 * 50 / 4096 * 4096)
            #expect(pressure.limitSource == "\(group.path)/memory.limit_in_bytes")
            #expect(group.usage <= limit / 2)
            // With the old limit it grows again.
            #expect(group.set(limit: limit))
            try await client.wait(within: .seconds(40)) {
                ($0.memory.pressure?.usableSlotCount ?? 0) > pressure.usableSlotCount
            }
            let ending = try await client.stop()
            #expect(ending.status == 0 && !ending.isKilled, "\(ending.text)")
        }
    }
}

/// A memory control group of version 1, removed when its owner lets go of it.
private final class MemoryGroup: Sendable {
    private static let mount = "/sys/fs/cgroup/memory"
    static let exists: Bool = (try? MemoryGroup()) != nil

    let path: String

    init() throws {
        if access("\(Self.mount)/memory.limit_in_bytes", F_OK) != 0 {
            mkdir(Self.mount, 0o755)
            guard Glibc.mount("memory", Self.mount, "cgroup", 0, "memory") == 0 else {
                throw SystemCallFailure(call: "mount", code: errno)
            }
        }
        path = "\(Self.mount)/moed-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        guard mkdir(path, 0o755) == 0 else { throw SystemCallFailure(call: "mkdir \(path)", code: errno) }
        guard access("\(path)/memory.limit_in_bytes", W_OK) == 0 else {
            rmdir(path)
            throw SystemCallFailure(call: "access", code: errno)
        }
    }

    deinit {
        // A process that has just ended may stand in it for a moment.
        for _ in 0..<100 where rmdir(path) != 0 { usleep(20_000) }
    }

    /// Whether the kernel takes the limit: it doesn't while more is in use.
    func set(limit: Int) -> Bool {
        let file = open("\(path)/memory.limit_in_bytes", O_WRONLY | O_CLOEXEC)
        defer { close(file) }
        let text = "\(limit)"
        return write(file, text, text.utf8.count) == text.utf8.count
    }

    var usage: Int {
        let text = (try? String(contentsOf: URL(filePath: "\(path)/memory.usage_in_bytes"), encoding: .utf8)) ?? ""
        return Int(text.prefix { $0.isNumber }) ?? 0
    }
}

private final class Flag: Sendable {
    private let state = Mutex(false)

    var value: Bool { state.withLock { $0 } }
    func set() { state.withLock { $0 = true } }
}

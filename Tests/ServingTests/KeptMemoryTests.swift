import API
import Container
import DemoSupport
import FoundationEssentials
import Glibc
import TestSupport
import Testing

extension ServingSuite {
    @Suite("Weights that outlive the daemon")
    struct KeptMemoryTests {
        private let directory: TemporaryDirectory
        private var socket: String { "\(directory.path)/moed.sock" }

        init() throws { directory = try TemporaryDirectory() }

        private func serve(_ store: DescriptorStore, model: String? = nil, _ more: [String] = []) throws
            -> ProcessClient
        {
            ProcessClient(
                moed: try MoedProcess(
                    [
                        "serve", try model ?? DemoContainer.path(), "--socket", socket, "--memory", "1G",
                        "--context", "256", "--threads", "1",
                    ] + more, environment: ["MEMORY_PRESSURE_WATCH": "/dev/null"], launcher: store.launcher),
                socket: socket)
        }

        private func kill(_ client: ProcessClient) async throws -> String {
            client.moed.signal(SIGKILL)
            return try await client.moed.ending().text
        }

        @Test("a daemon that was killed leaves its weights to the next one, which reads nothing")
        func found() async throws {
            let store = try DescriptorStore("\(directory.path)/notify")
            var client = try serve(store)
            let sent = try await store.messages(until: "READY=1")
            #expect(sent.contains { $0.contains("FDSTORE=1") && $0.contains("FDPOLL=0") }, "\(sent)")
            #expect(store.descriptors.count == 1)
            var texts: [String] = []
            for seed in 0..<4 { texts.append(try await client.text(seed: seed, tokens: 100)) }
            let resident = try #require(try await client.status().paging.residentCount)
            #expect(resident > 100)
            _ = try await kill(client)

            for isKilled in [true, false, true] {
                let start = ContinuousClock.now
                client = try serve(store)
                let sent = try await store.messages(until: "READY=1")
                #expect(ContinuousClock.now - start < .seconds(1))
                #expect(!sent.contains { $0.contains("FDSTORE") })
                #expect(try await client.status().paging.residentCount == resident)
                for seed in 0..<4 { #expect(try await client.text(seed: seed, tokens: 100) == texts[seed]) }
                let paging = try await client.status().paging
                #expect(paging.missCount == 0 && paging.byteCount == 0)
                if isKilled {
                    #expect(try await kill(client).contains("dense tensors and \(resident) experts"))
                } else {
                    #expect(try await client.stop().status == 0)
                }
                try await store.drain()
            }
        }

        @Test("what was damaged meanwhile is read again")
        func damaged() async throws {
            let store = try DescriptorStore("\(directory.path)/notify")
            var client = try serve(store)
            try await store.messages(until: "READY=1")
            let text = try await client.text(seed: 1, tokens: 100)
            _ = try await kill(client)
            let memory = try #require(store.descriptors.first)
            var status = stat()
            #expect(fstat(memory, &status) == 0)
            // Everything but the header and the table, from a huge page on: a bit a hundred kilobytes.
            var flips = 0
            for place in stride(from: 2 << 20, to: Int(status.st_size), by: 100_000) {
                var byte: UInt8 = 0
                guard pread(memory, &byte, 1, off_t(place)) == 1, byte != 0 else { continue }
                byte ^= 4
                #expect(pwrite(memory, &byte, 1, off_t(place)) == 1)
                flips += 1
            }
            #expect(flips > 20)
            client = try serve(store)
            try await store.messages(until: "READY=1")
            #expect(try await client.text(seed: 1, tokens: 100) == text)
            let log = try await kill(client)
            #expect(log.contains("weren't what was said of them, and are read again"), "\(log)")
        }

        @Test("memory of another model, or of another plan, is let go of and made anew")
        func foreign() async throws {
            let store = try DescriptorStore("\(directory.path)/notify")
            var client = try serve(store)
            try await store.messages(until: "READY=1")
            let text = try await client.text(seed: 1, tokens: 30)
            _ = try await kill(client)

            let other = try LargeModel(intermediateSize: 64)
            client = try serve(store, model: other.path)
            var sent = try await store.messages(until: "READY=1")
            #expect(sent.contains { $0.contains("FDSTOREREMOVE=1") } && store.descriptors.count == 1)
            _ = try await client.text(seed: 1, tokens: 5)
            #expect(try await kill(client).contains("let go of: what was kept is of another model"))

            client = try serve(store)
            try await store.messages(until: "READY=1")
            #expect(try await client.text(seed: 1, tokens: 30) == text)
            _ = try await kill(client)
            client = try serve(store, ["--expert-slots", "20"])
            sent = try await store.messages(until: "READY=1")
            #expect(sent.contains { $0.contains("FDSTOREREMOVE=1") } && store.descriptors.count == 1)
            #expect(try await client.text(seed: 1, tokens: 30) == text)
            #expect(try await kill(client).contains("let go of: the plan is another one now"))

            // Something that isn't such memory at all.
            let rubbish = try DescriptorStore("\(directory.path)/notify2")
            let file = open("\(directory.path)/file", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            rubbish.hold(file)
            client = try serve(rubbish)
            try await rubbish.messages(until: "READY=1")
            #expect(try await client.text(seed: 1, tokens: 30) == text)
            #expect(try await client.stop().text.contains("isn't memory of a fixed size"))
        }

        @Test("killed at any moment, what is kept is right; after three short runs it is let go of")
        func killedAtAnyMoment() async throws {
            let store = try DescriptorStore("\(directory.path)/notify")
            var client = try serve(store, ["--expert-slots", "12"])
            try await store.messages(until: "READY=1")
            var texts: [String] = []
            for seed in 0..<3 { texts.append(try await client.text(seed: seed, tokens: 40)) }
            _ = try await kill(client)
            var (adopted, letGo) = (0, 0)
            for round in 0..<16 {
                client = try serve(store, ["--expert-slots", "12"])
                try await store.messages(until: "READY=1")
                if round % 4 < 3 {
                    for seed in 0..<3 { #expect(try await client.text(seed: seed, tokens: 40) == texts[seed]) }
                }
                let busy = client
                let clients = (0..<3).map { seed in Task { try? await busy.complete(seed: seed + round, tokens: 200) } }
                try await Task.sleep(for: .milliseconds(Int.random(in: 0..<150)))
                let log = try await kill(client)
                for client in clients { _ = await client.value }
                if log.contains("found in memory") { adopted += 1 }
                if log.contains("runs that began with what was kept ended within a minute") { letGo += 1 }
                #expect(!log.contains("weren't what was said"), "\(log)")
                try await store.drain()
            }
            #expect(adopted >= 10 && letGo == 4, "\(adopted) adopted, \(letGo) let go of")
        }
    }
}

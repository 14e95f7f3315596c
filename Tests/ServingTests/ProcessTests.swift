import API
import DemoSupport
import FoundationEssentials
import Glibc
import TestSupport
import Testing

extension ServingSuite {
    @Suite("The process")
    struct ProcessTests {
        private let directory: TemporaryDirectory
        private var socket: String { "\(directory.path)/moed.sock" }

        init() throws { directory = try TemporaryDirectory() }

        private func serve(
            _ more: [String] = [], environment: [String: String] = [:], launcher: [String] = []
        ) throws -> MoedProcess {
            try MoedProcess(
                ["serve", DemoContainer.path(), "--socket", socket, "--memory", "1G"] + more, environment: environment,
                launcher: launcher)
        }

        private func health(_ connection: RawConnection) async throws -> Int {
            try await connection.send("GET /health HTTP/1.1\r\n\r\n")
            return try await connection.response().status
        }

        @Test("prints its plan, answers, and exits 0 soon after SIGTERM", arguments: [SIGTERM, SIGINT])
        func lifecycle(signal: Int32) async throws {
            let moed = try serve()
            let connection = try await moed.connect(socket)
            #expect(try await health(connection) == 200)
            moed.signal(signal)
            let ending = try await moed.ending(within: .seconds(5))
            #expect(ending.status == 0 && !ending.isKilled, "\(ending.text)")
            #expect(ending.text.contains("plan: dense weights"))
            #expect(ending.text.contains("ready: demo answers at \(socket)"))
            #expect(access(socket, F_OK) != 0)
            #expect(try await connection.rest().isEmpty)
        }

        @Test("exits 0 when it is stopped while it loads, and takes its socket along")
        func stopWhileLoading() async throws {
            for delay in [0, 2, 5, 10, 20, 40] {
                let moed = try serve()
                _ = try await moed.connect(socket)
                try await Task.sleep(for: .milliseconds(delay))
                moed.signal(SIGTERM)
                let ending = try await moed.ending()
                #expect(ending.status == 0 && !ending.isKilled, "after \(delay) ms: \(ending.text)")
                #expect(access(socket, F_OK) != 0)
            }
        }

        @Test("a running answer gets four seconds after SIGTERM, then an error event, and the exit code is 0")
        func drain() async throws {
            let moed = try serve(["--threads", "1"])
            let connection = try await moed.connect(socket)
            try await connection.send(TestDaemon.endless)
            _ = try await connection.read(until: "data: ")
            async let reading = connection.rest()
            let start = ContinuousClock.now
            moed.signal(SIGTERM)
            let ending = try await moed.ending(within: .seconds(8))
            #expect(ContinuousClock.now - start < .seconds(5.3))
            #expect(ending.status == 0 && !ending.isKilled, "\(ending.text)")
            let rest = try await reading
            // It either finished in its time, or was told that it won't.
            #expect(rest.contains("[DONE]") != rest.contains(#""code":"draining""#))
        }

        @Test("a killed daemon's socket is replaced, a live one's is not")
        func socketFile() async throws {
            let first = try serve()
            _ = try await first.connect(socket)
            let second = try serve()
            let refused = try await second.ending()
            #expect(refused.status == EX_UNAVAILABLE)
            #expect(refused.text.contains("another daemon listens here"))
            #expect(try await health(try await first.connect(socket)) == 200)
            first.signal(SIGKILL)
            _ = try await first.ending()
            #expect(access(socket, F_OK) == 0)
            let third = try serve(["--socket-mode", "666"])
            #expect(try await health(try await third.connect(socket)) == 200)
            var status = stat()
            #expect(stat(socket, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o666)
            third.signal(SIGTERM)
            #expect(try await third.ending().status == 0)
        }

        @Test("flags win over the environment, which wins over the defaults")
        func environment() async throws {
            let variables = [
                "MOED_MODEL": try DemoContainer.path(), "MOED_SOCKET": socket, "MOED_CONTEXT": "512",
                "MOED_MEMORY": "1G", "MOED_QUEUE": "3", "MOED_LOG_LEVEL": "", "MOED_SOCKET_MODE": "600",
            ]
            let moed = try MoedProcess(["serve", "--context", "256"], environment: variables)
            let connection = try await moed.connect(socket)
            try await connection.send("GET /moed/status HTTP/1.1\r\n\r\n")
            let status = try decode(Status.self, try await connection.response())
            #expect(status.model.contextLength == 256)
            #expect(status.queue.limit == 3)
            #expect(status.model.id == "demo")
            moed.signal(SIGTERM)
            _ = try await moed.ending()
        }

        @Test(
            "what can't be served ends with its exit code and says why",
            arguments: [
                (["serve", "/nowhere/x.moe"], [:], EX_NOINPUT, "/nowhere/x.moe"),
                (["serve", "--context", "0"], [:], EX_USAGE, "context"),
                (["serve", "--memory", "1M"], [:], EX_UNAVAILABLE, "--memory"),
                (["serve", "--expert-slots", "1"], [:], EX_UNAVAILABLE, "expert slots"),
                (["serve", "--threads", "many"], [:], EX_USAGE, "threads"),
                (["serve"], ["MOED_KV": "f16"], EX_USAGE, "MOED_KV=f16"),
                (["serve"], ["MOED_PREFER_RESIDENT": "1.5"], EX_USAGE, "MOED_PREFER_RESIDENT=1.5: expected a number"),
                (["serve"], ["MOED_DROP_COLD": "nan"], EX_USAGE, "MOED_DROP_COLD=nan"),
                (["serve", "--drop-cold", "2"], [:], EX_USAGE, "--drop-cold"),
                (["serve"], ["MOED_KERNELS": "none"], EX_USAGE, "MOED_KERNELS"),
                (["serve", "--socket-group", "no-such-group"], [:], EX_USAGE, "no-such-group"),
            ] as [([String], [String: String], Int32, String)])
        func exitCodes(arguments: [String], environment: [String: String], code: Int32, text: String) async throws {
            var variables = environment
            variables["MOED_MODEL"] = try DemoContainer.path()
            variables["MOED_SOCKET"] = socket
            let ending = try await MoedProcess(arguments, environment: variables).ending()
            #expect(ending.status == code && !ending.isKilled, "\(ending.text)")
            #expect(ending.text.contains(text), "\(ending.text)")
            #expect(access(socket, F_OK) != 0)
        }

        @Test("a container that is cut, damaged or without a tokenizer is refused by name")
        func badContainers() async throws {
            let demo = try Data(contentsOf: URL(filePath: DemoContainer.path()))
            let files: [(String, Data)] = [
                ("empty", Data()), ("text", Data("hello".utf8)), ("cut", demo.prefix(demo.count / 2)),
                ("flipped", Data(demo.enumerated().map { $0.offset == 20 ? $0.element ^ 1 : $0.element })),
            ]
            for (name, bytes) in files {
                let path = "\(directory.path)/\(name).moe"
                try bytes.write(to: URL(filePath: path))
                let ending = try await MoedProcess(["serve", path, "--socket", socket]).ending()
                #expect(ending.status == EX_DATAERR && !ending.isKilled, "\(name): \(ending.text)")
                #expect(ending.text.contains(path))
            }
            let ending = try await MoedProcess(
                ["serve", try TokenizerlessContainer.write(in: directory.path), "--socket", socket]).ending()
            #expect(ending.status == EX_DATAERR && !ending.isKilled)
            #expect(ending.text.contains("has no tokenizer"), "\(ending.text)")
            // A directory can be opened, but not read.
            let unreadable = try await MoedProcess(["serve", directory.path, "--socket", socket]).ending()
            #expect([EX_IOERR, EX_DATAERR].contains(unreadable.status) && !unreadable.isKilled)
        }

        @Test("tells systemd that it loads, is ready, lives and stops")
        func notifications() async throws {
            let systemd = try NotifySocket("\(directory.path)/notify")
            let moed = try serve(environment: ["NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "400000"])
            let before = try await systemd.messages(until: "READY=1")
            #expect(before.contains { $0.contains("EXTEND_TIMEOUT_USEC=") })
            #expect(before.last?.contains("STATUS=ready, demo, ") == true)
            // Idle and healthy: several pings a second.
            let start = ContinuousClock.now
            for _ in 0..<3 { _ = try await systemd.messages(until: "WATCHDOG=1", within: .seconds(2)) }
            #expect(ContinuousClock.now - start < .seconds(2))
            let connection = try await moed.connect(socket)
            try await connection.send(TestDaemon.endless)
            _ = try await systemd.messages(until: "STATUS=decode, ", within: .seconds(5))
            connection.close()
            _ = try await systemd.messages(until: "STATUS=ready, demo, ", within: .seconds(5))
            moed.signal(SIGTERM)
            _ = try await systemd.messages(until: "STOPPING=1")
            #expect(try await moed.ending().status == 0)
        }

        @Test(
            "speaks to the journal when standard error is one, and otherwise to the reader", arguments: [true, false])
        func journal(isConnected: Bool) async throws {
            let file = "\(directory.path)/stderr"
            let descriptor = open(file, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0o600)
            defer { close(descriptor) }
            var status = stat()
            #expect(fstat(descriptor, &status) == 0)
            let stream = "\(status.st_dev):\(isConnected ? status.st_ino : status.st_ino + 1)"
            let moed = try MoedProcess(
                [
                    "-c", #"exec "$0" serve "$1" --socket "$2" 2>>"$3""#, MoedProcess.binary, DemoContainer.path(),
                    socket, file,
                ],
                environment: ["JOURNAL_STREAM": stream], program: "/bin/sh")
            #expect(try await health(try await moed.connect(socket)) == 200)
            moed.signal(SIGTERM)
            #expect(try await moed.ending().status == 0)
            let text = try String(contentsOf: URL(filePath: file), encoding: .utf8)
            #expect(text.contains("ready: demo answers") != isConnected, "\(text)")
        }

        @Test(
            "serves the socket that systemd hands over, and leaves its file alone",
            .enabled(if: access("/usr/bin/systemd-socket-activate", X_OK) == 0, "systemd-socket-activate isn't here"))
        func socketActivation() async throws {
            let moed = try MoedProcess(
                ["serve", DemoContainer.path(), "--memory", "1G"],
                launcher: ["/usr/bin/systemd-socket-activate", "-l", socket])
            // The first client waits in the backlog while the model loads.
            let connection = try await moed.connect(socket)
            #expect(try await health(connection) == 200)
            let chat = TestDaemon.post("/v1/chat/completions", TestDaemon.chatBody(#""max_tokens":3"#))
            try await connection.send(chat)
            #expect(try await connection.response().status == 200)
            moed.signal(SIGTERM)
            let ending = try await moed.ending()
            #expect(ending.status == 0 && !ending.isKilled, "\(ending.text)")
            #expect(access(socket, F_OK) == 0)
        }
    }
}

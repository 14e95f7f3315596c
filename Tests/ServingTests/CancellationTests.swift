import API
import Serving
import Testing

extension ServingSuite {
    @Suite("Clients that go away")
    struct CancellationTests {
        @Test("frees the engine at once, in decode and in prefill, streamed or whole", arguments: [true, false])
        func running(isStreamed: Bool) async throws {
            try await TestDaemon.run { daemon in
                let long = String(repeating: "The dog ran to the park and saw a ball. ", count: 150)
                let requests: [(prompt: String, fields: String, isThere: @Sendable (Status) -> Bool)] = [
                    (
                        "Once upon a time", #""max_tokens":2000,"temperature":0,"frequency_penalty":-2"#,
                        { $0.state == .decode }
                    ),
                    (long, #""max_tokens":1"#, { $0.state == .prefill }),
                ]
                for (prompt, fields, isThere) in requests {
                    // What the machine does beside may hold up one of them, but not all.
                    var fastest = Duration.seconds(60)
                    for round in 0..<4 where fastest >= .milliseconds(750) {
                        let connection = try await Self.connection(of: daemon, until: isThere) { attempt in
                            // Another beginning each time, so that nothing of the prompt is there already.
                            let prompt = "\(round).\(attempt) \(prompt)"
                            let body = #"{"prompt":"\#(prompt)",\#(fields),"stream":\#(isStreamed)}"#
                            return TestDaemon.post("/v1/completions", body)
                        }
                        connection.close()
                        fastest = min(fastest, try await daemon.wait { $0.state == .idle })
                    }
                    #expect(fastest < .milliseconds(750), "with the machine's other load; 250 ms alone")
                }
            }
        }

        /// The states last tens of milliseconds, which a busy machine may sleep through: then it's tried again.
        private static func connection(
            of daemon: TestDaemon, until isThere: @Sendable (Status) -> Bool, sending request: (Int) -> String
        ) async throws -> RawConnection {
            var attempt = 0
            while true {
                let connection = try await daemon.connect()
                try await connection.send(request(attempt))
                attempt += 1
                do {
                    _ = try await daemon.wait(within: .seconds(1), until: isThere)
                    return connection
                } catch is RawConnection.TimedOut where attempt < 20 {
                    connection.close()
                    _ = try await daemon.wait { $0.state == .idle }
                }
            }
        }

        @Test("leaves the queue, and nobody else's answer changes")
        func queued() async throws {
            try await TestDaemon.run(sequences: 1) { daemon in
                let fields = #""max_tokens":150,"temperature":0.8,"seed":3"#
                let alone = try decode(ChatCompletion.self, await daemon.chat(fields))
                // Answered first, and for as long as it takes the others to come.
                let front = try await daemon.connect()
                try await front.send(TestDaemon.endless)
                _ = try await front.read(until: "data: ")
                async let beside = daemon.chat(fields)
                var leavers: [RawConnection] = []
                for _ in 0..<4 {
                    let connection = try await daemon.connect()
                    try await connection.send(TestDaemon.endless)
                    leavers.append(connection)
                }
                _ = try await daemon.wait { $0.queue.waiting == 5 }
                for connection in leavers { connection.close() }
                _ = try await daemon.wait { $0.queue.waiting == 1 }
                front.close()
                #expect(try decode(ChatCompletion.self, await beside).choices == alone.choices)
                _ = try await daemon.wait { $0.state == .idle && $0.queue.waiting == 0 }
            }
        }

        @Test("leaves its neighbours, whose answers don't change")
        func neighbours() async throws {
            try await TestDaemon.run { daemon in
                let fields = #""max_tokens":150,"temperature":0.8,"seed":3"#
                let alone = try decode(ChatCompletion.self, await daemon.chat(fields))
                var leavers: [RawConnection] = []
                for _ in 0..<3 {
                    let connection = try await daemon.connect()
                    try await connection.send(TestDaemon.endless)
                    _ = try await connection.read(until: "data: ")
                    leavers.append(connection)
                }
                #expect(try await daemon.status().queue.running == 3)
                async let beside = daemon.chat(fields)
                leavers[1].close()
                #expect(try decode(ChatCompletion.self, await beside).choices == alone.choices)
                leavers[0].close()
                leavers[2].close()
                _ = try await daemon.wait { $0.state == .idle && $0.queue.running == 0 }
            }
        }

        @Test("five hundred times over, and the engine still answers")
        func manyTimes() async throws {
            try await TestDaemon.run(queueLimit: 64) { daemon in
                for round in 0..<500 {
                    let connection = try await daemon.connect()
                    let request = TestDaemon.endless
                    // Some leave with their request half sent.
                    try await connection.send(round % 5 == 0 ? String(request.prefix(request.count / 2)) : request)
                    if round % 3 == 0 { try await Task.sleep(for: .milliseconds(round % 7)) }
                    connection.close()
                }
                _ = try await daemon.wait { $0.state == .idle && $0.queue.waiting == 0 }
                #expect(try await daemon.chat(#""max_tokens":2"#).status == 200)
            }
        }

        @Test("a stop gives a running answer its time, then an error event; the queue is given back at once")
        func drain() async throws {
            var limits = ServerLimits()
            limits.drainTimeout = .milliseconds(300)
            try await TestDaemon.run(limits: limits, sequences: 1) { daemon in
                let running = try await daemon.connect()
                try await running.send(TestDaemon.endless)
                _ = try await running.read(until: "data: ")
                let idle = try await daemon.connect()
                try await idle.send("GET /health HTTP/1.1\r\n\r\n")
                #expect(try await idle.response().status == 200)
                let waiting = try await daemon.connect()
                try await waiting.send(
                    TestDaemon.post("/v1/chat/completions", TestDaemon.chatBody(#""max_tokens":5"#)))
                _ = try await daemon.wait { $0.queue.waiting == 1 }

                await daemon.stop()
                let refused = try await waiting.response()
                #expect(refused.status == 503)
                #expect(try error(in: refused).code == "draining")
                #expect(refused.headers["retry-after-ms"] != nil)
                #expect(try await idle.rest().isEmpty)
                let rest = try await running.rest()
                #expect(rest.contains(#""code":"draining""#))
                #expect(!rest.contains("[DONE]"))
                #expect(!rest.hasSuffix("0\r\n\r\n"))
                await #expect(throws: (any Error).self) { try await daemon.connect() }
            }
        }
    }
}

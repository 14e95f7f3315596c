import API
import Serving
import Testing

extension ServingSuite {
    @Suite("Connections")
    struct ConnectionTests {
        private static var quick: ServerLimits {
            var limits = ServerLimits()
            limits.headerTimeout = .milliseconds(300)
            limits.bodyTimeout = .milliseconds(300)
            limits.idleTimeout = .milliseconds(600)
            limits.writeStallTimeout = .milliseconds(500)
            return limits
        }

        @Test("a header that trickles in is 408, and the connection closes")
        func slowHeader() async throws {
            try await TestDaemon.run(limits: Self.quick) { daemon in
                let connection = try await daemon.connect()
                let start = ContinuousClock.now
                try await connection.send("GET /health HTTP/1.1\r\n")
                for _ in 0..<20 {
                    try await Task.sleep(for: .milliseconds(30))
                    guard try await connection.send("x") else { break }
                }
                let response = try await connection.response()
                #expect(response.status == 408)
                #expect(try error(in: response).code == "request_timeout")
                #expect(response.headers["connection"] == "close")
                _ = try await connection.rest()
                #expect(ContinuousClock.now - start < .seconds(8))
            }
        }

        @Test("a body that trickles in is 408")
        func slowBody() async throws {
            try await TestDaemon.run(limits: Self.quick) { daemon in
                let connection = try await daemon.connect()
                try await connection.send("POST /v1/completions HTTP/1.1\r\ncontent-length: 1000\r\n\r\n{")
                for _ in 0..<20 {
                    try await Task.sleep(for: .milliseconds(30))
                    guard try await connection.send(" ") else { break }
                }
                #expect(try await connection.response().status == 408)
            }
        }

        @Test("an idle connection closes, before its first request and after one")
        func idle() async throws {
            try await TestDaemon.run(limits: Self.quick) { daemon in
                let silent = try await daemon.connect()
                #expect(try await silent.rest(within: .seconds(8)).isEmpty)
                let used = try await daemon.connect()
                try await used.send("GET /health HTTP/1.1\r\n\r\n")
                #expect(try await used.response().status == 200)
                #expect(try await used.rest(within: .seconds(8)).isEmpty)
            }
        }

        @Test("a client that doesn't read is dropped, and the engine is free again")
        func stalledReader() async throws {
            try await TestDaemon.run(limits: Self.quick) { daemon in
                // Pipelined answers, far more than the socket's buffers hold.
                let connection = try await daemon.connect()
                for _ in 0..<40 { try await connection.send(TestDaemon.post("/v1/completions", Self.bulky)) }
                try await Task.sleep(for: .milliseconds(1500))
                let status = try await daemon.status()
                #expect(status.state == .idle && status.queue.waiting == 0)
                #expect(status.throughput.requestCount < 40)
                // What the buffers held is all that there is.
                let rest = try await connection.rest(within: .seconds(8))
                #expect(rest.count > 50_000)
                #expect(rest.split(separator: "[DONE]").count < 40)
                #expect(try await daemon.chat(#""max_tokens":1"#).status == 200)
            }
        }

        @Test("a client that asks before it sends a large body is told to go on, or why not")
        func expectContinue() async throws {
            try await TestDaemon.run { daemon in
                let connection = try await daemon.connect()
                let body = TestDaemon.chatBody(#""max_tokens":1"#)
                func head(_ length: Int) -> String {
                    "POST /v1/chat/completions HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: \(length)\r\n\r\n"
                }
                try await connection.send(head(body.utf8.count))
                #expect(try await connection.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 100 "))
                try await connection.send(body)
                #expect(try await connection.response().status == 200)
                try await connection.send(head(9 << 20))
                #expect(try await connection.response().status == 413)
            }
        }

        @Test("HEAD gives the head of GET and nothing more")
        func headMethod() async throws {
            try await TestDaemon.run { daemon in
                let connection = try await daemon.connect()
                try await connection.send("HEAD /v1/models HTTP/1.1\r\n\r\n")
                let head = try await connection.read(until: "\r\n\r\n")
                #expect(head.hasPrefix("HTTP/1.1 200 "))
                try await connection.send("GET /health HTTP/1.1\r\n\r\n")
                #expect(try await connection.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
            }
        }

        /// About 100 KB of answer for few tokens.
        private static let bulky =
            #"{"prompt":"Once upon a time","max_tokens":24,"temperature":0,"frequency_penalty":-2,"logprobs":20,"stream":true}"#

        @Test("a header with too many bytes or fields is 431")
        func headerTooLarge() async throws {
            try await TestDaemon.run { daemon in
                let many = (0..<65).map { "x-field-\($0): 1\r\n" }.joined()
                let long = "x-long: \(String(repeating: "a", count: 17 << 10))\r\n"
                let manyLong = (0..<17).map { "x-\($0): \(String(repeating: "a", count: 1000))\r\n" }.joined()
                for fields in [many, long, manyLong] {
                    let connection = try await daemon.connect()
                    try await connection.send("GET /health HTTP/1.1\r\n\(fields)\r\n")
                    let response = try await connection.response()
                    #expect(response.status == 431)
                    #expect(try error(in: response).code == "header_too_large")
                    _ = try await connection.rest(within: .seconds(8))
                }
                let connection = try await daemon.connect()
                try await connection.send("GET /\(String(repeating: "a", count: 17 << 10)) HTTP/1.1\r\n\r\n")
                #expect(try await connection.response().status == 431)
                // A gigabyte of header is cut off long before its end.
                let endless = try await daemon.connect()
                var isOpen = try await endless.send("GET /health HTTP/1.1\r\nx: ")
                for _ in 0..<1024 where isOpen { isOpen = try await endless.send(Array(repeating: 97, count: 1 << 20)) }
                #expect(!isOpen)
            }
        }

        @Test("a body that is too large is 413, announced or not")
        func bodyTooLarge() async throws {
            var limits = ServerLimits()
            limits.bodyByteCount = 100_000
            try await TestDaemon.run(limits: limits) { daemon in
                let announced = try await daemon.connect()
                try await announced.send("POST /v1/completions HTTP/1.1\r\ncontent-length: 100001\r\n\r\n")
                let response = try await announced.response()
                #expect(response.status == 413)
                #expect(response.headers["connection"] == "close")
                let chunked = try await daemon.connect()
                try await chunked.send("POST /v1/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
                let chunk = "8000\r\n" + String(repeating: " ", count: 0x8000) + "\r\n"
                for _ in 0..<64 { guard try await chunked.send(chunk) else { break } }
                #expect(try await chunked.response().status == 413)
            }
        }

        @Test("the largest body that is allowed is read")
        func largestBody() async throws {
            try await TestDaemon.run { daemon in
                let body = TestDaemon.chatBody(#""max_tokens":1"#)
                let padded = body + String(repeating: " ", count: (8 << 20) - body.utf8.count)
                let largest = try await daemon.post("/v1/chat/completions", padded)
                #expect(largest.status == 200)
                let larger = try await daemon.post("/v1/chat/completions", padded + " ")
                #expect(larger.status == 413)
            }
        }

        @Test(
            "what isn't HTTP/1.1, or means two things at once, is 400",
            arguments: [
                "hello\r\n\r\n", "GET /health\r\n\r\n", "GET /health HTTP/1.1\r\nbad name: x\r\n\r\n",
                "GET /health HTTP/1.1\r\nx: a\u{0}b\r\n\r\n",
                "POST /v1/completions HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                "POST /v1/completions HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
                "POST /v1/completions HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
                "POST /v1/completions HTTP/1.1\r\ncontent-length: 1e3\r\n\r\n",
                "POST /v1/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
                "GET /health HTTP/9.9\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            ])
        func malformed(request: String) async throws {
            try await TestDaemon.run { daemon in
                let connection = try await daemon.connect()
                try await connection.send(request)
                let response = try await connection.response()
                #expect(response.status == 400)
                #expect(try error(in: response).type == "invalid_request_error")
                #expect(try await connection.rest(within: .seconds(8)).isEmpty)
            }
        }

        @Test("damaged requests are answered or closed, and the daemon lives on")
        func mutations() async throws {
            try await TestDaemon.run(queueLimit: 64) { daemon in
                let chunked =
                    "POST /v1/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\nhost: x\r\n\r\n"
                    + "1b\r\n{\"prompt\":\"a\",\"max_tokens\":\r\n2\r\n1}\r\n0\r\n\r\n"
                let seeds = [
                    TestDaemon.post("/v1/chat/completions", TestDaemon.chatBody(#""max_tokens":1,"stream":true"#)),
                    "GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\n\r\n", chunked,
                ]
                for round in 0..<600 {
                    var bytes = Array(seeds[round % seeds.count].utf8)
                    for _ in 0..<Int.random(in: 1...4) {
                        let place = Int.random(in: bytes.indices)
                        switch Int.random(in: 0..<4) {
                        case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8)
                        case 1: bytes[place] = [0, 10, 13, 32, 58, 255].randomElement() ?? 0
                        case 2: bytes.insert(contentsOf: bytes[place...].prefix(8), at: place)
                        default: bytes.remove(at: place)
                        }
                    }
                    let connection = try await daemon.connect()
                    try await connection.send(bytes)
                    connection.finishSending()
                    _ = try await connection.rest(within: .seconds(10))
                }
                #expect(try await daemon.get("/health").status == 200)
            }
        }

        @Test("a hundred clients at once each get an answer or are told to come again")
        func crowd() async throws {
            try await TestDaemon.run(queueLimit: 20) { daemon in
                let statuses = try await withThrowingTaskGroup(of: Int.self) { tasks in
                    for _ in 0..<100 {
                        tasks.addTask { try await daemon.chat(#""max_tokens":8,"stream":true"#).status }
                    }
                    return try await tasks.reduce(into: []) { $0.append($1) }
                }
                #expect(Set(statuses).isSubset(of: [200, 429]))
                #expect(statuses.count { $0 == 200 } >= 21)
            }
        }

        @Test("bare line feeds are answered or refused, and never wait")
        func bareLineFeed() async throws {
            try await TestDaemon.run { daemon in
                let connection = try await daemon.connect()
                try await connection.send("GET /health HTTP/1.1\nhost: x\n\n")
                connection.finishSending()
                let text = try await connection.rest(within: .seconds(8))
                #expect(text.hasPrefix("HTTP/1.1 200") || text.hasPrefix("HTTP/1.1 400"))
            }
        }

        @Test("a header can't be smuggled into an answer")
        func injection() async throws {
            try await TestDaemon.run { daemon in
                let response = try await daemon.get("/v1/models/x%0d%0ax-evil:%201")
                #expect(response.status == 404)
                #expect(response.headers["x-evil"] == nil)
                #expect(try error(in: response).code == "model_not_found")
            }
        }

        @Test("requests sent in one go are answered in order, and then what follows them is judged")
        func pipelining() async throws {
            try await TestDaemon.run { daemon in
                let connection = try await daemon.connect()
                let chat = TestDaemon.post("/v1/chat/completions", TestDaemon.chatBody(#""max_tokens":3"#))
                try await connection.send(
                    chat + "GET /nothing HTTP/1.1\r\n\r\n" + "GET /v1/models HTTP/1.1\r\n\r\n" + "garbage\r\n\r\n")
                #expect(try await connection.response().body.contains("chat.completion"))
                #expect(try await connection.response().status == 404)
                #expect(try await connection.response().body.contains(#""object":"list""#))
                #expect(try await connection.response().status == 400)
                #expect(try await connection.rest(within: .seconds(8)).isEmpty)
            }
        }

        @Test("a client that has sent all it will still gets its answer")
        func halfClose() async throws {
            try await TestDaemon.run { daemon in
                for fields in [#""max_tokens":30"#, #""max_tokens":30,"stream":true"#] {
                    let connection = try await daemon.connect()
                    try await connection.send(TestDaemon.post("/v1/chat/completions", TestDaemon.chatBody(fields)))
                    connection.finishSending()
                    let response = try await connection.response()
                    #expect(response.status == 200)
                    #expect(response.isComplete)
                    #expect(try await connection.rest(within: .seconds(8)).isEmpty)
                }
            }
        }

        @Test("Connection: close and HTTP/1.0 end the connection after the answer")
        func lastRequest() async throws {
            try await TestDaemon.run { daemon in
                for request in [
                    "GET /health HTTP/1.1\r\nConnection: Close\r\n\r\n", "GET /health HTTP/1.0\r\n\r\n",
                    "GET /health HTTP/1.1\r\nconnection: close\r\n\r\n",
                ] {
                    let connection = try await daemon.connect()
                    try await connection.send(request)
                    let text = try await connection.rest(within: .seconds(8))
                    #expect(text.contains(" 200 OK\r\n"))
                    #expect(text.hasSuffix(#"{"status":"ok"}"#))
                }
            }
        }

        @Test("more connections than the bound are told so")
        func tooManyConnections() async throws {
            var limits = ServerLimits()
            limits.connectionCount = 4
            try await TestDaemon.run(limits: limits) { daemon in
                var open: [RawConnection] = []
                for _ in 0..<4 {
                    let connection = try await daemon.connect()
                    try await connection.send("GET /health HTTP/1.1\r\n\r\n")
                    #expect(try await connection.response().status == 200)
                    open.append(connection)
                }
                let fifth = try await daemon.connect()
                let response = try await fifth.response()
                #expect(response.status == 503)
                #expect(response.headers["retry-after-ms"] != nil)
                #expect(try error(in: response).code == "too_many_connections")
                _ = try await fifth.rest(within: .seconds(8))
                open[0].close()
                for attempt in 0..<100 {
                    let connection = try await daemon.connect()
                    try await connection.send("GET /health HTTP/1.1\r\n\r\n")
                    if try await connection.response().status == 200 { break }
                    #expect(attempt < 99)
                    try await Task.sleep(for: .milliseconds(10))
                }
            }
        }

        @Test("hundreds of idle connections don't slow the next")
        func idleCrowd() async throws {
            try await TestDaemon.run { daemon in
                var crowd: [RawConnection] = []
                for _ in 0..<400 { crowd.append(try await daemon.connect()) }
                let start = ContinuousClock.now
                #expect(try await daemon.get("/health").status == 200)
                #expect(ContinuousClock.now - start < .seconds(2))
                withExtendedLifetime(crowd) {}
            }
        }
    }
}

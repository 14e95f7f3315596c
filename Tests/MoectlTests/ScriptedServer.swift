import Dispatch
import Glibc
import Synchronization
import TestSupport

/// A server on a real Unix socket that answers each connection with the next script, byte for byte, and keeps what it
/// was asked.
final class ScriptedServer: Sendable {
    /// What one connection is answered.
    struct Script: Sendable {
        /// Written one after the other, so that they arrive apart.
        var pieces: [String]
        /// Whether the connection then stays open until the client closes it.
        var waitsForClient = false

        static func json(_ body: String, status: String = "200 OK") -> Script {
            Script(pieces: [
                "HTTP/1.1 \(status)\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n",
                body,
            ])
        }

        /// A chunked event stream; `isComplete` false leaves out the final chunk.
        static func events(_ events: [String], isComplete: Bool = true, waitsForClient: Bool = false) -> Script {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            let chunks = events.map { "\(String($0.utf8.count, radix: 16))\r\n\($0)\r\n" }
            return Script(
                pieces: [head] + chunks + (isComplete ? ["0\r\n\r\n"] : []), waitsForClient: waitsForClient)
        }
    }

    let path: String
    private let directory: TemporaryDirectory
    private let descriptor: Int32
    private let seen = Mutex<[String]>([])
    private let closed = Mutex(false)

    init(_ scripts: [Script]) throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/s.sock"
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        guard bound == 0, listen(descriptor, 8) == 0 else { throw SystemCallFailure(call: "bind", code: errno) }
        DispatchQueue(label: "scripted server").async { [self] in
            for script in scripts where !answer(script) { return }
        }
    }

    deinit { close(descriptor) }

    /// The requests so far: head and body as they came.
    var requests: [String] { seen.withLock { $0 } }

    /// Whether a client closes a connection whose script waits for that, within five seconds.
    func seesClientClose() -> Bool {
        let deadline = ContinuousClock.now + .seconds(5)
        while !closed.withLock({ $0 }) {
            guard ContinuousClock.now < deadline else { return false }
            usleep(5000)
        }
        return true
    }

    private func answer(_ script: Script) -> Bool {
        let connection = accept(descriptor, nil, nil)
        guard connection >= 0 else { return false }
        defer { close(connection) }
        let request = readRequest(connection)
        seen.withLock { $0.append(request) }
        for piece in script.pieces {
            let bytes = Array(piece.utf8)
            guard send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { return true }
            usleep(2000)
        }
        if script.waitsForClient {
            var byte: UInt8 = 0
            while read(connection, &byte, 1) > 0 {}
            closed.withLock { $0 = true }
        }
        return true
    }

    private func readRequest(_ connection: Int32) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let text = String(decoding: bytes, as: UTF8.self)
            if let end = text.firstRange(of: "\r\n\r\n") {
                let head = text[..<end.lowerBound].lowercased()
                let length =
                    head.split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
                    .flatMap { Int($0.drop { !$0.isNumber }) } ?? 0
                if text[end.upperBound...].utf8.count >= length { return text }
            }
            let count = read(connection, &buffer, buffer.count)
            guard count > 0 else { return text }
            bytes += buffer.prefix(count)
        }
    }
}

import Glibc
import NIOPosix
import Synchronization
import TestSupport

/// An HTTP client without manners: it sends exactly the bytes that it is told to.
///
/// Blocking calls run on threads of their own: the daemon under test needs those of the cooperative pool.
final class RawConnection: Sendable {
    private let descriptor: Int32
    private let received = Mutex<[UInt8]>([])
    private static let threads = {
        let pool = NIOThreadPool(numberOfThreads: 12)
        pool.start()
        return pool
    }()

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            let code = errno
            Glibc.close(descriptor)
            throw SystemCallFailure(call: "connect", code: code)
        }
    }

    deinit { Glibc.close(descriptor) }

    static func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await threads.runIfActive(body)
    }

    /// Whether the other side took all of it.
    @discardableResult
    func send(_ bytes: some Sequence<UInt8>) async throws -> Bool {
        let bytes = Array(bytes)
        let descriptor = descriptor
        return try await Self.blocking {
            var sent = 0
            while sent < bytes.count {
                let count = bytes[sent...].withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return false }
                sent += count
            }
            return true
        }
    }

    @discardableResult
    func send(_ text: String) async throws -> Bool { try await send(text.utf8) }

    /// More bytes into the buffer; false at the end of the stream.
    private func receiveMore(until deadline: ContinuousClock.Instant) async throws -> Bool {
        let descriptor = descriptor
        let bytes: [UInt8] = try await Self.blocking {
            let left = max(1, (deadline - .now) / .milliseconds(1))
            var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, Int32(left)) > 0 else { throw TimedOut() }
            return try withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 1) { buffer in
                let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
                // A close with unread input resets; what was sent before has been read by then.
                if count < 0, errno != ECONNRESET { throw SystemCallFailure(call: "recv", code: errno) }
                return Array(buffer.prefix(max(0, count)))
            }
        }
        received.withLock { $0 += bytes }
        return !bytes.isEmpty
    }

    /// Everything until the other side closes.
    func rest(within time: Duration = .seconds(20)) async throws -> String {
        let deadline = ContinuousClock.now + time
        while try await receiveMore(until: deadline) {}
        return take()
    }

    /// What comes until `text` is there, it included.
    func read(until text: String, within time: Duration = .seconds(20)) async throws -> String {
        let deadline = ContinuousClock.now + time
        let end = Array(text.utf8)
        while true {
            let found = received.withLock { bytes -> [UInt8]? in
                guard bytes.count >= end.count else { return nil }
                for start in 0...(bytes.count - end.count) where bytes[start...].starts(with: end) {
                    let part = Array(bytes[..<(start + end.count)])
                    bytes.removeFirst(part.count)
                    return part
                }
                return nil
            }
            if let found { return String(decoding: found, as: UTF8.self) }
            guard try await receiveMore(until: deadline) else { throw Closed(received: take()) }
        }
    }

    private func read(count: Int, until deadline: ContinuousClock.Instant) async throws -> String {
        while received.withLock({ $0.count }) < count {
            guard try await receiveMore(until: deadline) else { throw Closed(received: take()) }
        }
        return received.withLock { bytes in
            let part = String(decoding: bytes[..<count], as: UTF8.self)
            bytes.removeFirst(count)
            return part
        }
    }

    private func take() -> String {
        received.withLock { bytes in
            defer { bytes = [] }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    /// One whole answer, whose body has a length or comes in chunks.
    func response(within time: Duration = .seconds(20)) async throws -> RawResponse {
        let deadline = ContinuousClock.now + time
        var response = try RawResponse(head: await read(until: "\r\n\r\n", within: time))
        if let length = response.headers["content-length"].flatMap({ Int($0) }) {
            response.body = try await read(count: length, until: deadline)
        } else if response.headers["transfer-encoding"] == "chunked" {
            while true {
                let line: String
                do {
                    line = try await read(until: "\r\n", within: deadline - .now)
                } catch is Closed {
                    response.isComplete = false
                    break
                }
                guard let count = Int(line.dropLast(), radix: 16) ?? Int(line.dropLast(1), radix: 16) else {
                    throw BadResponse(text: line)
                }
                let chunk = try await read(count: count + 2, until: deadline)
                if count == 0 { break }
                response.body += chunk.dropLast()
            }
        }
        return response
    }

    /// Sends no more, but still reads.
    func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Goes away.
    func close() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    struct TimedOut: Error {}
    struct Closed: Error { var received: String }
    struct BadResponse: Error { var text: String }
}

struct RawResponse: Sendable {
    var status: Int
    /// Names in lower case.
    var headers: [String: String] = [:]
    var body = ""
    /// Whether a chunked body came with its last chunk.
    var isComplete = true

    init(head: String) throws {
        let lines = head.split(separator: "\r\n")
        guard let first = lines.first, first.hasPrefix("HTTP/1."), let status = Int(first.dropFirst(9).prefix(3)) else {
            throw RawConnection.BadResponse(text: head)
        }
        self.status = status
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { throw RawConnection.BadResponse(text: head) }
            headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingPrefix(" ").description
        }
    }

    /// The lines of an event stream's body that aren't empty.
    var lines: [String] { body.split(separator: "\n").map(String.init) }
}

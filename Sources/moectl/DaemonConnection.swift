import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix

/// One HTTP/1.1 exchange over the daemon's Unix socket; the connection is closed when `send` returns, throws or is
/// cancelled, which also tells the daemon to stop working on the answer.
struct DaemonConnection: Sendable {
    typealias ClientChannel = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>

    private let channel: ClientChannel

    /// Connects to the first candidate where a daemon listens.
    init(_ location: SocketLocation) async throws {
        var refusals: [(String, SocketRefusal)] = []
        for path in location.candidates {
            do {
                channel = try await Self.connect(path)
                return
            } catch {
                refusals.append((path, SocketRefusal(error)))
            }
        }
        throw ClientError(refusals: refusals)
    }

    private static func connect(_ path: String) async throws -> ClientChannel {
        try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(unixDomainSocketPath: path) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    return try ClientChannel(wrappingChannelSynchronously: channel)
                }
            }
    }

    /// Sends a request and hands the response's head and body to `receive`.
    func send<Result: Sendable>(
        _ method: HTTPMethod, _ path: String, body: [UInt8]? = nil,
        receive: (HTTPResponseHead, inout ResponseBody) async throws -> Result
    ) async throws -> Result {
        var headers = HTTPHeaders([("Host", "localhost"), ("User-Agent", "moectl"), ("Connection", "close")])
        if let body {
            headers.add(name: "Content-Type", value: "application/json")
            headers.add(name: "Content-Length", value: String(body.count))
        }
        let head = HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: headers)
        do {
            return try await channel.executeThenClose { inbound, outbound in
                try await outbound.write(.head(head))
                if let body { try await outbound.write(.body(.byteBuffer(ByteBuffer(bytes: body)))) }
                try await outbound.write(.end(nil))
                var parts = inbound.makeAsyncIterator()
                guard case .head(let response) = try await parts.next() else {
                    try Task.checkCancellation()
                    throw ClientError.cutShort
                }
                var responseBody = ResponseBody(parts: parts)
                return try await receive(response, &responseBody)
            }
        } catch is HTTPParserError {
            throw ClientError.cutShort
        } catch is ChannelError {
            try Task.checkCancellation()
            throw ClientError.cutShort
        } catch let error as IOError {
            throw ClientError(.badAnswer, "the connection to the daemon broke: \(error)")
        }
    }
}

/// What follows a response's head, piece by piece as it arrives.
struct ResponseBody {
    fileprivate var parts: NIOAsyncChannelInboundStream<HTTPClientResponsePart>.AsyncIterator

    /// The next piece, or nil at the proper end; throws where the connection ends before it.
    mutating func next() async throws -> ByteBuffer? {
        switch try await parts.next() {
        case .body(let buffer): return buffer
        case .end: return nil
        case .head, nil:
            try Task.checkCancellation()
            throw ClientError.cutShort
        }
    }

    /// Everything, as far as it fits into `limit` bytes.
    mutating func collect(limit: Int = 64 << 20) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let piece = try await next() {
            guard bytes.count + piece.readableBytes <= limit else {
                throw ClientError(.badAnswer, "the daemon's answer is longer than \(limit) bytes")
            }
            bytes.append(contentsOf: piece.readableBytesView)
        }
        return bytes
    }
}

extension SocketRefusal {
    fileprivate init(_ error: any Error) {
        if case SocketAddressError.unixDomainSocketPathTooLong = error {
            self = .pathTooLong
            return
        }
        guard let error = error as? IOError else {
            self = .other("\(error)")
            return
        }
        switch error.errnoCode {
        case ENOENT, ENOTDIR: self = .missing
        case ECONNREFUSED: self = .nobodyListens
        case EACCES, EPERM: self = .notPermitted
        case EAGAIN: self = .backlogFull
        default: self = .other(String(cString: strerror(error.errnoCode)))
        }
    }
}

import FoundationEssentials
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle

/// The HTTP server on one listening Unix socket, its own or systemd's.
///
/// Hummingbird's `Application` binds for itself and can't take over a descriptor, so this service joins Hummingbird's
/// HTTP/1.1 channel to a bootstrap of its own. At a graceful shutdown it accepts nothing more, closes idle connections,
/// lets running answers finish, and closes what is left soon after `drainTimeout`.
struct HTTPServer: Service {
    let listener: SocketListener
    let limits: ServerLimits
    let logger: Logger
    /// Called once connections are accepted.
    let onRunning: @Sendable () -> Void
    /// Called when the daemon was told to stop; returns when nothing more comes from the engine.
    let drain: @Sendable () async -> Void
    /// Makes the answer; cancelled when the client goes away.
    let respond: @Sendable (Request, RequestConnection) async throws -> Response

    func run() async throws {
        let http = makeChannel()
        let registry = ConnectionRegistry(limit: limits.connectionCount)
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: Int32(clamping: limits.backlog))
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .bind(listener.takeDescriptor(), cleanupExistingSocketFile: false) { channel in
                admit(channel, http, registry)
            }
        defer { listener.close() }
        onRunning()
        await withTaskGroup(of: Bool.self) { tasks in
            tasks.addTask {
                await accept(server, http)
                return true
            }
            tasks.addTask {
                await stop(server.channel, registry)
                return false
            }
            if await tasks.next() == true { tasks.cancelAll() }
        }
    }

    /// Serves connections until the socket is closed and the last of them is done.
    private func accept(_ server: NIOAsyncChannel<HTTP1Channel.Value, Never>, _ http: HTTP1Channel) async {
        do {
            try await server.executeThenClose { inbound in
                try await withThrowingDiscardingTaskGroup { connections in
                    for try await connection in inbound {
                        connections.addTask { await serve(connection, http) }
                    }
                }
            }
        } catch {
            logger.error("the socket can't be served any more", metadata: ["error": "\(error)"])
        }
    }

    /// Waits for the order to stop, then stops from the outside in.
    private func stop(_ server: any Channel, _ registry: ConnectionRegistry) async {
        guard (try? await gracefulShutdown()) != nil else { return }
        server.close(promise: nil)
        registry.quiesce()
        // Not waited for: an engine that hangs in a read mustn't keep the daemon from leaving. When the last connection
        // has its answer, `accept` ends, and this with it.
        let draining = Task { await drain() }
        try? await Task.sleep(for: limits.drainTimeout + .milliseconds(400))
        draining.cancel()
        registry.closeAll()
    }

    private func makeChannel() -> HTTP1Channel {
        HTTP1Channel(
            responder: { request, writer, channel in try await answer(request, writer, channel) },
            configuration: .init(
                idleTimeout: TimeAmount(limits.idleTimeout),
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: limits.headerByteCount, maxHeaderListSize: limits.headerByteCount,
                    maxHeaderFieldCount: limits.headerFieldCount)))
    }

    /// Puts a new connection's handlers in place: bytes ⇄ TransferWatch ⇄ HTTP ⇄ ConnectionGuard ⇄ Hummingbird.
    private func admit(
        _ channel: any Channel, _ http: HTTP1Channel, _ registry: ConnectionRegistry
    ) -> EventLoopFuture<HTTP1Channel.Value> {
        let limits = limits
        let greeting = registry.admit(channel) ? nil : APIError.tooManyConnections
        return http.setup(channel: channel, logger: logger).flatMapThrowing { value in
            let pipeline = channel.pipeline.syncOperations
            let guardian = ConnectionGuard(limits: limits, greeting: greeting)
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            try pipeline.addHandler(guardian, position: .after(decoder))
            try pipeline.addHandler(ProgressComments(interval: limits.progressInterval), position: .after(guardian))
            try pipeline.addHandler(
                TransferWatch(guardian, timeout: limits.writeStallTimeout), position: .first)
            return value
        }
    }

    /// Serves one connection until it closes. When the client goes away, whatever works for it is cancelled.
    private func serve(_ connection: HTTP1Channel.Value, _ http: HTTP1Channel) async {
        let (closed, continuation) = AsyncStream.makeStream(of: Never.self)
        connection.channel.closeFuture.whenComplete { _ in continuation.finish() }
        await withTaskGroup { tasks in
            tasks.addTask { await http.handle(value: connection, logger: logger) }
            tasks.addTask { for await _ in closed {} }
            await tasks.next()
            tasks.cancelAll()
        }
    }

    private func answer(_ request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel) async throws {
        let identifier = RequestIdentifier.next()
        var logger = logger
        logger[metadataKey: "request"] = "\(identifier)"
        let start = ContinuousClock.now
        var response: Response
        do {
            response = try await respond(request, RequestConnection(channel: channel, logger: logger))
        } catch let error as APIError {
            response = error.response
        } catch let error as HTTPParserError {
            // The connection's guard answers this one.
            throw error
        } catch {
            logger.error("the request failed", metadata: ["error": "\(error)"])
            response = APIError.internalError("the request failed: \(error)").response
        }
        response.headers[.date] = HTTPDate.now()
        response.headers[.requestIdentifier] = identifier
        logger.debug(
            "\(request.method) \(request.uri.path)",
            metadata: [
                "status": "\(response.status.code)",
                "milliseconds": "\(Int(((ContinuousClock.now - start).seconds * 1000).rounded()))",
            ])
        try await writer.write(response: response.head, body: response.body)
    }
}

/// What an endpoint may know of the connection that its request came by.
struct RequestConnection: Sendable {
    let channel: any Channel
    let logger: Logger

    /// Lets `progress` speak on this answer's stream until it says nothing more.
    func reportProgress(_ progress: @escaping ProgressComments.Source) {
        channel.triggerUserOutboundEvent(ProgressComments.Begin(source: progress), promise: nil)
    }
}

import API
import FoundationEssentials
import HTTPTypes
import NIOCore
import NIOHTTP1

/// Keeps one connection within the limits that HTTP itself doesn't set: time for the header, time for the body, and an
/// answer in our own words, followed by a clean close, to whoever breaks the protocol.
///
/// Stands behind the decoder, in front of Hummingbird's handlers, which never see what is refused here.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private let limits: ServerLimits
    private let greeting: APIError?
    private var progress = ConnectionProgress()
    private var version = HTTPVersion.http1_1
    /// What the client is told when the earlier answers are out.
    private var pendingRefusal: APIError?
    /// The last answer is written; what still comes is thrown away until the client closes.
    private var isLingering = false
    private var watched = ConnectionProgress.Limit.none
    private var timer: Scheduled<Void>?

    /// - Parameter greeting: A refusal of the connection itself, which is answered before anything was asked.
    init(limits: ServerLimits, greeting: APIError? = nil) {
        self.limits = limits
        self.greeting = greeting
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        guard let greeting else { return }
        write(greeting, context)
        isLingering = true
        context.close(promise: nil)
    }

    /// Called by `TransferWatch`, which stands before the decoder, with the context of this handler.
    func bytesArrived() {
        progress.bytesArrived()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isLingering else { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            version = head.version
            progress.headArrived(keepsAlive: head.isKeepAlive)
            invite(head, context)
        case .body:
            break
        case .end:
            progress.requestEnded()
        }
        watch(context)
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        watch(context)
        context.fireChannelReadComplete()
        if isLingering { context.read() }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !isLingering else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        switch unwrapOutboundIn(data) {
        case .head(var head):
            head.version = version
            progress.answerBegins(keepsAlive: head.isKeepAlive)
            if progress.isLast { head.headers.replaceOrAdd(name: "connection", value: "close") }
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .body:
            context.write(data, promise: promise)
        case .end:
            progress.answerEnded()
            context.write(data, promise: promise)
            answered(context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError else { return context.fireErrorCaught(error) }
        refuse(APIError(parserError: error, limits: limits), context)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if isLingering, case ChannelEvent.inputClosed = event {
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        context.fireChannelInactive()
    }

    /// A client with a large body may ask before it sends it (RFC 9110, §10.1.1). One that is too large isn't invited:
    /// its refusal follows.
    private func invite(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        guard head.version == .http1_1, progress.answersDue == 1,
            head.headers.first(name: "expect")?.lowercased() == "100-continue",
            (head.headers.first(name: "content-length").flatMap { Int($0) } ?? 0) <= limits.bodyByteCount
        else { return }
        let invitation = HTTPResponseHead(version: version, status: .continue)
        context.writeAndFlush(wrapOutboundOut(.head(invitation)), promise: nil)
    }

    private func answered(_ context: ChannelHandlerContext) {
        if let refusal = pendingRefusal {
            pendingRefusal = nil
            refuse(refusal, context)
        } else if progress.isLast, progress.answersDue == 0 {
            context.flush()
            linger(context)
        } else {
            watch(context)
        }
    }

    private func refuse(_ refusal: APIError, _ context: ChannelHandlerContext) {
        guard !isLingering else { return }
        switch progress.refusal {
        case .later:
            pendingRefusal = refusal
        case .close:
            context.close(promise: nil)
        case .answer:
            write(refusal, context)
            linger(context)
        }
    }

    private func write(_ refusal: APIError, _ context: ChannelHandlerContext) {
        var buffer = context.channel.allocator.buffer(capacity: 512)
        buffer.writeBytes(refusal.body)
        var fields: HTTPHeaders = [
            "content-type": "application/json", "content-length": "\(buffer.readableBytes)",
            "connection": "close", "date": HTTPDate.now(), "x-request-id": RequestIdentifier.next(),
        ]
        for field in refusal.headers { fields.replaceOrAdd(name: field.name.rawName, value: field.value) }
        let status = HTTPResponseStatus(statusCode: refusal.status.code)
        let head = HTTPResponseHead(version: version, status: status, headers: fields)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    /// Closing a socket with unread input resets it, and a client that is still sending would lose our answer: read on
    /// for a moment.
    private func linger(_ context: ChannelHandlerContext) {
        isLingering = true
        context.close(mode: .output, promise: nil)
        schedule(context, after: limits.lingerTimeout) { context.close(promise: nil) }
        context.read()
    }

    private func watch(_ context: ChannelHandlerContext) {
        guard !isLingering, progress.limit != watched else { return }
        watched = progress.limit
        switch watched {
        case .none:
            timer?.cancel()
            timer = nil
        case .head:
            schedule(context, after: limits.headerTimeout) {
                self.refuse(.timeout("the header", self.limits.headerTimeout), context)
            }
        case .body:
            schedule(context, after: limits.bodyTimeout) {
                self.refuse(.timeout("the body", self.limits.bodyTimeout), context)
            }
        }
    }

    private func schedule(_ context: ChannelHandlerContext, after time: Duration, _ body: @escaping () -> Void) {
        timer?.cancel()
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(time), body)
    }
}

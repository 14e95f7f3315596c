import NIOCore
import NIOHTTP1

/// Writes SSE comments into an answer that has nothing to say yet, so that no client, proxy or person gives up on it.
///
/// A comment goes out between two events and never inside one, because every event is written as one body part.
final class ProgressComments: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// What to tell now, such as `prefill 512/2048`; nil once the answer itself comes.
    typealias Source = @Sendable () -> String?

    /// Sent through the channel after an event stream's head.
    struct Begin: Sendable {
        let source: Source
    }

    private let interval: Duration
    private var timer: Scheduled<Void>?

    init(interval: Duration) {
        self.interval = interval
    }

    func triggerUserOutboundEvent(
        context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?
    ) {
        guard let event = event as? Begin else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        stop()
        schedule(context, event.source)
        promise?.succeed()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) { stop() }
        context.write(data, promise: promise)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        stop()
    }

    private func comment(_ context: ChannelHandlerContext, _ source: @escaping Source) {
        timer = nil
        guard context.channel.isActive, let text = source() else { return }
        // A client that doesn't read doesn't need to hear more.
        if context.channel.isWritable {
            let buffer = context.channel.allocator.buffer(string: ": \(text)\n\n")
            context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
        }
        schedule(context, source)
    }

    private func schedule(_ context: ChannelHandlerContext, _ source: @escaping Source) {
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(interval)) {
            self.comment(context, source)
        }
    }

    private func stop() {
        timer?.cancel()
        timer = nil
    }
}

import NIOCore

/// Watches a connection's bytes: tells the guard that some came, and drops a client that doesn't read what was written.
final class TransferWatch: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    private let connection: ConnectionGuard
    private let timeout: Duration
    private var pendingWriteCount = 0
    private var lastProgress = NIODeadline.now()
    private var timer: Scheduled<Void>?

    init(_ connection: ConnectionGuard, timeout: Duration) {
        self.connection = connection
        self.timeout = timeout
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connection.bytesArrived()
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if pendingWriteCount == 0 { lastProgress = .now() }
        pendingWriteCount += 1
        let written = promise ?? context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in
            self.pendingWriteCount -= 1
            self.lastProgress = .now()
        }
        context.write(data, promise: written)
        if timer == nil { schedule(context, at: lastProgress + TimeAmount(timeout)) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        context.fireChannelInactive()
    }

    /// The timer isn't moved with every write: when it fires, it looks whether it should have been later.
    private func schedule(_ context: ChannelHandlerContext, at deadline: NIODeadline) {
        timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            self.timer = nil
            guard self.pendingWriteCount > 0 else { return }
            let deadline = self.lastProgress + TimeAmount(self.timeout)
            if deadline <= .now() {
                context.close(promise: nil)
            } else {
                self.schedule(context, at: deadline)
            }
        }
    }
}

/// What a client may ask of the daemon. The defaults are the service's; tests shorten the times.
package struct ServerLimits: Sendable {
    // What a request may hold.

    /// The request line and all header fields together.
    package var headerByteCount = 16 << 10
    package var headerFieldCount = 64
    package var bodyByteCount = 8 << 20
    package var jsonDepth = 64
    package var jsonValueCount = 1 << 20
    package var choiceCount = 8
    package var stopStringCount = 16
    package var stopStringByteCount = 1024
    package var logprobCount = 20
    package var toolCount = 128
    package var messageCount = 4096

    // How long it may take.

    /// From a request's first byte to the end of its header.
    package var headerTimeout = Duration.seconds(10)
    /// From the end of the header to the end of the body.
    package var bodyTimeout = Duration.seconds(60)
    /// Between requests.
    package var idleTimeout = Duration.seconds(60)
    /// How long a client may leave what was written to it unread.
    package var writeStallTimeout = Duration.seconds(60)
    /// How long a refused client may go on sending before its connection is closed under it.
    package var lingerTimeout = Duration.seconds(1)

    // The whole daemon.

    package var connectionCount = 512
    /// What the kernel may keep for the daemon while it loads.
    package var backlog = 512
    /// How often a waiting stream hears of its progress.
    package var progressInterval = Duration.seconds(2)
    /// How long running answers may go on once the daemon was told to stop.
    package var drainTimeout = Duration.seconds(4)

    package init() {}
}

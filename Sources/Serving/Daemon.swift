import API
import ExpertPaging
import Generation
package import Logging
import ServiceLifecycle

/// A loaded model behind a socket, until it is told to stop.
package struct Daemon: Service {
    private let model: ServedModel
    private let listener: SocketListener
    private let limits: ServerLimits
    private let logger: Logger
    private let manager: ServiceManager

    package init(
        model: ServedModel, listener: SocketListener, limits: ServerLimits = ServerLimits(), logger: Logger,
        manager: ServiceManager = ServiceManager()
    ) {
        self.model = model
        self.listener = listener
        self.limits = limits
        self.logger = logger
        self.manager = manager
    }

    /// Accepts connections, then says READY. Returns within about `drainTimeout` of a graceful shutdown.
    package func run() async throws {
        let memory = MemoryWatch(experts: model.engine.experts, kept: model.kept, logger: logger)
        let watch = ModelWatch(model: model, memory: memory, logger: logger)
        let routes = Routes(model: model, memory: memory, watch: watch, limits: limits, start: .now)
        let server = HTTPServer(
            listener: listener, limits: limits, logger: logger,
            onRunning: {
                manager.ready(StatusReporter.idleText(model))
                logger.info("ready: \(model.id) answers at \(listener.path)")
            },
            drain: {
                manager.stopping()
                logger.info("stopping: running answers have \(limits.drainTimeout.formattedSeconds)")
                await model.engine.drain(within: limits.drainTimeout)
            },
            respond: routes.respond)
        let reporter = StatusReporter(model: model, watch: watch, manager: manager, logger: logger)
        try await withThrowingTaskGroup { tasks in
            tasks.addTask { try await server.run() }
            tasks.addTask { try await reporter.run() }
            tasks.addTask { try await memory.run() }
            tasks.addTask { try await model.keepPopularityRegularly(logger) }
            tasks.addTask { try await model.noteThatItLasts() }
            // The server ends when it is told to, the others only with it.
            try await tasks.next()
            tasks.cancelAll()
        }
        model.keepPopularity(logger)
        model.kept?.noteLasting()
    }
}

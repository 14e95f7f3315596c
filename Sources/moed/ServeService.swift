import Glibc
import Logging
import NIOPosix
import ServiceLifecycle
import Serving

/// Takes its socket, loads the model, serves it, and ends the process when it is told to stop.
///
/// All of it happens in the service group, which catches the signals first.
struct ServeService: Service {
    let settings: ServeSettings
    let limits: ServerLimits
    let logger: Logger
    private let manager = ServiceManager()

    init(settings: ServeSettings, limits: ServerLimits, logger: Logger) {
        self.settings = settings
        self.limits = limits
        self.logger = logger
    }

    func run() async throws {
        let inherited = try InheritedDescriptors()
        let memory = KeptMemory(inherited.weights, manager: manager) { name in
            getenv(name).map { String(cString: $0) }
        }
        let listener =
            try SocketListener.inherited(inherited.sockets)
            ?? SocketListener.bind(
                path: settings.socket, mode: settings.socketMode, group: settings.socketGroup, backlog: limits.backlog)
        let model = try await loadOrStop(listener, memory)
        for line in model.planLines { logger.info("plan: \(line)") }
        for warning in model.warnings { logger.warning("\(warning)") }
        let daemon = Daemon(model: model, listener: listener, limits: limits, logger: logger, manager: manager)
        try await daemon.run()
        logger.info("stopped")
        // Letting the model go would wait for its engine, which may hang in a read.
        withExtendedLifetime(model) { exit(EXIT_SUCCESS) }
    }

    /// While it loads, clients wait in the socket's backlog. Nothing was promised to them yet, so a stop is simple.
    private func loadOrStop(_ listener: SocketListener, _ memory: KeptMemory) async throws -> ServedModel {
        do {
            return try await withGracefulShutdownHandler {
                try await load(memory)
            } onGracefulShutdown: {
                manager.stopping()
                logger.info("stopped while loading")
                listener.close()
                exit(EXIT_SUCCESS)
            }
        } catch {
            listener.close()
            throw error
        }
    }

    /// Loads on a thread of its own; until it is done, systemd hears that it goes on.
    private func load(_ memory: KeptMemory) async throws -> ServedModel {
        manager.status("loading \(settings.model)")
        logger.info("loading \(settings.model)")
        return try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                while true {
                    manager.extendTimeout(by: .seconds(30))
                    try await Task.sleep(for: .seconds(10))
                }
            }
            defer { tasks.cancelAll() }
            return try await NIOThreadPool.singleton.runIfActive {
                try ServedModel.load(path: settings.model, options: settings.serving, memory: memory)
            }
        }
    }
}

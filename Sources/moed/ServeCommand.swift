import API
import ArgumentParser
import Glibc
import Logging
import Model
import NIOPosix
import ServiceLifecycle
import Serving
import UnixSignals

/// `moed serve`: loads a model and answers on a Unix socket until it is told to stop.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve a model on a Unix socket, in OpenAI's dialect of HTTP.",
        discussion: """
            Every option can also be given by its environment variable, which the option overrides: MOED_MODEL, \
            MOED_SOCKET, MOED_SOCKET_MODE, MOED_SOCKET_GROUP, MOED_MEMORY, MOED_CONTEXT, MOED_THREADS, MOED_QUEUE, \
            MOED_KV, MOED_CHUNK, MOED_EXPERT_SLOTS and MOED_LOG_LEVEL. Started by systemd's socket activation, it \
            serves the socket that it is given.
            """)

    @Argument(
        help: "The model (default: \(ServeSettings.defaultModel)). Its name without .moe is the model's id.",
        completion: .file(extensions: ["moe"]))
    var model: String?

    @OptionGroup var options: ServeOptions

    func run() async throws {
        let settings: ServeSettings
        do {
            settings = try ServeSettings(model: model, options: options) { name in
                getenv(name).map { String(cString: $0) }
            }
        } catch {
            throw ValidationError("\(error)")
        }
        let logger = Self.makeLogger(level: settings.logLevel)
        do {
            try await Self.serve(settings, logger)
        } catch {
            logger.critical("\(error)")
            ServiceManager().status("failed: \(error)")
            throw ExitCode(ExitStatus.of(error))
        }
    }

    private static func serve(_ settings: ServeSettings, _ logger: Logger) async throws {
        signal(SIGPIPE, SIG_IGN)
        var limits = ServerLimits()
        limits.backlog = max(limits.backlog, settings.serving.queueLimit)
        let listener =
            try SocketListener.inherited()
            ?? SocketListener.bind(
                path: settings.socket, mode: settings.socketMode, group: settings.socketGroup, backlog: limits.backlog)
        let model: ServedModel
        do {
            model = try await load(settings, logger)
        } catch {
            listener.close()
            throw error
        }
        for line in model.planLines { logger.info("plan: \(line)") }
        for warning in model.warnings { logger.warning("\(warning)") }

        let daemon = Daemon(model: model, listener: listener, limits: limits, logger: logger)
        var group = ServiceGroupConfiguration(
            services: [.init(service: daemon)], gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet(logger))
        group.maximumGracefulShutdownDuration = limits.drainTimeout + .milliseconds(800)
        try await ServiceGroup(configuration: group).run()
        logger.info("stopped")
        // An engine that hangs in a read would be waited for if the model were let go.
        withExtendedLifetime(model) { Glibc.exit(EXIT_SUCCESS) }
    }

    /// Loads on a thread of its own; until it is done, systemd hears that it goes on.
    private static func load(_ settings: ServeSettings, _ logger: Logger) async throws -> ServedModel {
        let manager = ServiceManager()
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
                try ServedModel.load(path: settings.model, options: settings.serving)
            }
        }
    }

    private static func makeLogger(level: Logger.Level) -> Logger {
        let journal = getenv("JOURNAL_STREAM").map { String(cString: $0) }
        let handler: any LogHandler =
            JournalLogHandler.isConnected(journalStream: journal) ? JournalLogHandler() : TerminalLogHandler()
        var logger = Logger(label: "moed") { _ in handler }
        logger.logLevel = level
        return logger
    }

    /// The service group tells of every step; only its complaints are wanted.
    private static func quiet(_ logger: Logger) -> Logger {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .error)
        return quiet
    }
}

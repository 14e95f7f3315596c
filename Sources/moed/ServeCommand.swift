import API
import ArgumentParser
import Glibc
import Logging
import Model
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
            MOED_SOCKET, MOED_SOCKET_MODE, MOED_SOCKET_GROUP, MOED_MEMORY, MOED_CONTEXT, MOED_THREADS, MOED_PARALLEL, \
            MOED_QUEUE, MOED_KV, MOED_CHUNK, MOED_EXPERT_SLOTS, MOED_PLANES, MOED_PREFER_RESIDENT, MOED_DROP_COLD and \
            MOED_LOG_LEVEL. Started by systemd's socket activation, it serves the socket that it is given.
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
        limits.connectionCount = min(limits.connectionCount, descriptorLimit - 32)
        let service = ServeService(settings: settings, limits: limits, logger: logger)
        var group = ServiceGroupConfiguration(
            services: [.init(service: service)], gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet(logger))
        group.maximumGracefulShutdownDuration = limits.drainTimeout + .milliseconds(800)
        try await ServiceGroup(configuration: group).run()
    }

    /// How many descriptors the process may have. Some are kept back for the model, the event loops and refusals: accepting
    /// without one fails over and over.
    private static var descriptorLimit: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        return max(64, Int(clamping: limit.rlim_cur))
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

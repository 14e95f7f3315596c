import API
import ArgumentParser
import Container
import Glibc
import Logging
import Model
import Serving

/// The flags of `moed serve`. All are optional here: what is missing comes from the environment, then from a default.
struct ServeOptions: ParsableArguments {
    @Option(help: "Where to listen (default: /run/moed/moed.sock, or the user's runtime directory).")
    var socket: String?

    @Option(help: "The socket's mode, octal (default: 660).")
    var socketMode: SocketMode?

    @Option(help: "The socket's group, a name or number (default: the process's own).")
    var socketGroup: String?

    @Option(help: "Memory to use at most, such as 900M or 4G (default: what the system leaves).")
    var memory: MemorySize?

    @Option(help: "Tokens of one prompt and its answer (default: what a quarter of the memory holds).")
    var context: Int?

    @Option(help: "Threads that compute (default: as many as the process may keep busy).")
    var threads: Int?

    @Option(help: "Answers that are computed together (default: up to 8, as the context has room).")
    var parallel: Int?

    @Option(help: "Requests that may wait while others run (default: 16).")
    var queue: Int?

    @Option(name: .customLong("kv"), help: "Format of the KV cache, bf16 or f32 (default: f32 for an f32 model).")
    var cacheFormat: CacheFormat?

    @Option(help: "Tokens of a prompt that are computed together (default: up to 512, as the memory allows).")
    var chunk: Int?

    @Option(help: "Exactly so many experts in memory, whatever the budget would hold.")
    var expertSlots: Int?

    @Option(
        help: "Lossy: let experts in memory rank higher, by this part of a token's scores, 0 to 1 (default: 0, off).")
    var preferResident: Strength?

    @Option(
        help: "Lossy: leave out experts that aren't in memory below this part of the mean weight, 0 to 1 (default: 0).")
    var dropCold: Strength?

    @OptionGroup var planes: PlaneOptions

    @Option(help: "trace, debug, info, notice, warning, error or critical (default: info).")
    var logLevel: LogLevel?
}

/// What `moed serve` goes by: flags over environment over defaults.
struct ServeSettings {
    static let defaultModel = "/var/lib/moed/model.moe"

    var model: String
    var socket: String
    var socketMode: UInt32
    var socketGroup: String?
    var logLevel: Logger.Level
    var serving = ServedModel.Options()

    /// Throws a `SettingError` that names the flag or variable.
    init(model: String?, options: ServeOptions, environment: (String) -> String?) throws {
        // A variable that is set to nothing, as in a commented template, counts as not set.
        func variable(_ name: String) -> String? { environment(name).flatMap { $0.isEmpty ? nil : $0 } }
        func setting<Value: ExpressibleByArgument>(
            _ flag: Value?, _ name: String, _ expected: String
        ) throws(SettingError) -> Value? {
            if let flag { return flag }
            guard let text = variable(name) else { return nil }
            guard let value = Value(argument: text) else {
                throw SettingError(description: "\(name)=\(text): expected \(expected)")
            }
            return value
        }
        func bounded(_ value: Int?, _ range: ClosedRange<Int>, _ flag: String) throws(SettingError) -> Int? {
            guard let value else { return nil }
            guard range.contains(value) else {
                throw SettingError(
                    description: "--\(flag) is \(value): expected \(range.lowerBound) to \(range.upperBound)")
            }
            return value
        }

        self.model = model ?? variable("MOED_MODEL") ?? Self.defaultModel
        socket =
            options.socket ?? variable("MOED_SOCKET")
            ?? SocketPlace.listening(isRoot: geteuid() == 0, runtimeDirectory: variable("XDG_RUNTIME_DIR"))
        socketMode = try setting(options.socketMode, "MOED_SOCKET_MODE", "an octal mode such as 660")?.bits ?? 0o660
        socketGroup = options.socketGroup ?? variable("MOED_SOCKET_GROUP")
        logLevel = try setting(options.logLevel, "MOED_LOG_LEVEL", LogLevel.names)?.level ?? .info

        serving.plan.memory = try setting(options.memory, "MOED_MEMORY", "an amount such as 900M or 4G")?.byteCount
        serving.plan.context = try setting(options.context, "MOED_CONTEXT", "a number of tokens")
        serving.plan.cacheFormat = try setting(options.cacheFormat, "MOED_KV", "bf16 or f32")
        serving.plan.chunk = try setting(options.chunk, "MOED_CHUNK", "a number of tokens")
        serving.plan.expertSlots = try setting(options.expertSlots, "MOED_EXPERT_SLOTS", "a number of experts")
        serving.plan.planes = try setting(options.planes.planes, "MOED_PLANES", "coarse, both or heat")
        serving.plan.sequences = try setting(options.parallel, "MOED_PARALLEL", "a number of answers")
        serving.lossy = LossyRouting(
            preferResident: try setting(options.preferResident, "MOED_PREFER_RESIDENT", Strength.range)?.value ?? 0,
            dropCold: try setting(options.dropCold, "MOED_DROP_COLD", Strength.range)?.value ?? 0)
        // systemd separates several directories by colons.
        serving.stateDirectory =
            options.planes.state
            ?? variable("STATE_DIRECTORY").flatMap { $0.split(separator: ":").first.map(String.init) }
        if serving.plan.planes == .heat, serving.stateDirectory == nil { throw SettingError.heatWithoutState }
        let threads = try setting(options.threads, "MOED_THREADS", "a number of threads")
        serving.threadCount = try bounded(threads, 1...1024, "threads")
        let queue = try setting(options.queue, "MOED_QUEUE", "a number of requests")
        serving.queueLimit = try bounded(queue, 0...4096, "queue") ?? 16
    }
}

struct SettingError: Error, CustomStringConvertible {
    let description: String
}

/// File permissions, octal.
struct SocketMode: ExpressibleByArgument {
    let bits: UInt32

    init?(argument: String) {
        guard let bits = UInt32(argument, radix: 8), bits <= 0o777 else { return nil }
        self.bits = bits
    }
}

/// Of lossy help.
struct Strength: ExpressibleByArgument {
    static let range = "a number from 0 to 1"

    let value: Float

    init?(argument: String) {
        guard let value = Float(argument), LossyRouting.strengths.contains(value) else { return nil }
        self.value = value
    }
}

struct LogLevel: ExpressibleByArgument {
    static let names = "trace, debug, info, notice, warning, error or critical"

    let level: Logger.Level

    init?(argument: String) {
        guard let level = Logger.Level(rawValue: argument.lowercased()) else { return nil }
        self.level = level
    }
}

import ArgumentParser
import Benchmark
import Compute
import Container
import ExpertPaging
import FoundationEssentials
import Glibc
import Model

/// `moed bench`: measures how fast a model runs here, and how near that is to what the machine can do.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure a model's speed against the machine's own limits.",
        discussion: """
            Runs prompts and decodes tokens as the daemon would, without a socket, and measures in the same run how fast \
            all threads together read memory and multiply bytes. Other work on the machine shows in the figures.
            """)

    @Argument(help: "The model.", completion: .file(extensions: ["moe"]))
    var model: String

    @Option(help: "Lengths of prompts, separated by commas; none to leave them out.")
    var prefill = Lengths([128, 512, 2048])

    @Option(help: "Numbers of tokens that stand before the decoded ones, separated by commas; none to leave them out.")
    var decode = Lengths([0, 2048])

    @Option(help: "Tokens that a repetition decodes.")
    var tokens = 16

    @Option(help: "Sequences that decode together.")
    var sequences = 1

    @Option(help: "Repetitions of each measurement.")
    var repetitions = 5

    @Option(help: "The instruction set: \(Kernels.knownNames.joined(separator: ", ")) (default: the fastest).")
    var kernels: String?

    @Option(help: "Threads that compute (default: as many as the process may keep busy).")
    var threads: Int?

    @Option(help: "Memory for the model, such as 900M or 2G (default: what the system leaves).")
    var memory: MemorySize?

    @OptionGroup var planes: PlaneOptions

    @Option(help: "Read experts at so many bytes a second at most, such as 90M, to see what slower storage would give.")
    var storageRate: MemorySize?

    @Option(help: "Tokens of a prompt that are computed together (default: up to 512, as the memory allows).")
    var chunk: Int?

    @Option(
        help: "Memory that the read bandwidth is measured over (default: 1 GiB, or an eighth of what is available).")
    var buffer: MemorySize?

    @Option(
        help: ArgumentHelp(
            "What chooses the experts in place of the routers: a recorded trace, or made-up routing.",
            discussion: """
                Random weights choose nearly evenly, which no real model does. TRACE is a file as for moed replay, or \
                synthetic:NAME or synthetic:A=0.65,B=0,slow=1,fast=0.8 for made-up routing of the model's shape. \
                With --planes heat and without --state, the heat is its own.
                """, valueName: "trace"))
    var routing: String?

    @Flag(help: "Send every token through all experts, to see what sparsity gains.")
    var dense = false

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads must be 1 to 1024.") }
        if !(1...1000).contains(repetitions) { throw ValidationError("--repetitions must be 1 to 1000.") }
        if !(1...10_000).contains(tokens) { throw ValidationError("--tokens must be 1 to 10000.") }
        if !(1...64).contains(sequences) { throw ValidationError("--sequences must be 1 to 64.") }
        if prefill.values.contains(0) { throw ValidationError("--prefill: a prompt has at least one token.") }
    }

    func run() throws {
        do {
            let report = try measure()
            guard json else { return print(report.text, terminator: "") }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            print(String(decoding: try encoder.encode(report), as: UTF8.self))
        } catch {
            Self.report("error: \(error)")
            throw ExitCode(ExitStatus.of(error))
        }
    }

    private func measure() throws -> BenchmarkReport {
        var options = BenchmarkOptions(kernels: try kernels.map(Kernels.selected(by:)) ?? .selected())
        options.prefillLengths = prefill.values
        options.decodeDepths = decode.values
        options.decodeTokenCount = tokens
        options.sequenceCount = sequences
        options.repetitionCount = repetitions
        options.threadCount = threads ?? ThreadCount.available
        options.plan.memory = memory?.byteCount
        options.plan.chunk = chunk
        options.plan.planes = planes.planes
        options.storageBytesPerSecond = storageRate?.byteCount
        options.bufferByteCount = buffer?.byteCount
        options.isDense = dense
        let container = try ContainerReader(path: model)
        if let routing {
            let source = try Self.routing(routing, container.metadata.configuration)
            options.routing = source
            options.routingDescription = source.description
            // What isn't recorded is known here all the same.
            if planes.state == nil {
                options.plan.popularity = source.popularity(identity: container.indexChecksum)
            }
        }
        if options.plan.popularity == nil { options.plan.popularity = try planes.popularity(of: container) }
        return try Benchmark(container: container, options: options) { Self.report($0) }.run()
    }

    private static func routing(_ text: String, _ model: ModelConfiguration) throws -> TraceRouting {
        guard let experts = model.experts else {
            throw RoutingTraceError("the model has no routed experts to choose from")
        }
        let prefix = "synthetic:"
        guard text.hasPrefix(prefix) else {
            let trace = try RoutingTrace(path: text, expertsPerLayer: experts.routedExpertCount)
            return try TraceRouting(
                trace, description: "recorded: \(text), \(trace.tokens.count) tokens", sparseLayers: model.sparseLayers,
                expertsPerLayer: experts.routedExpertCount, expertsPerToken: experts.expertsPerToken)
        }
        return try TraceRouting(
            SyntheticRouting(parsing: text.dropFirst(prefix.count)), tokenCount: 2048, seed: 1,
            sparseLayers: model.sparseLayers, expertsPerLayer: experts.routedExpertCount,
            expertsPerToken: experts.expertsPerToken)
    }

    private static func report(_ line: String) {
        var text = "moed bench: \(line)\n"
        text.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

/// Numbers of tokens, separated by commas.
struct Lengths: ExpressibleByArgument, CustomStringConvertible {
    let values: [Int]

    init(_ values: [Int]) { self.values = values }

    init?(argument: String) {
        guard argument != "none" else {
            values = []
            return
        }
        var values: [Int] = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            guard let value = Int(part), (0...1 << 24).contains(value) else { return nil }
            values.append(value)
        }
        self.values = values
    }

    var description: String { values.isEmpty ? "none" : values.map(String.init).joined(separator: ",") }
    var defaultValueDescription: String { description }
}

import ArgumentParser
import Benchmark
import Compute
import Container
import ExpertPaging
import Glibc
import Model

/// `moed plan`: where a model's memory would go, and how fast this storage lets it be.
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Say where a model's memory goes and what speed its storage allows, without loading it.",
        discussion: """
            Storage is measured for a second with reads of whole experts, through the page cache (whose copies of what is read \
            are dropped) and past it. The hit rates to expect are the least and the most of five recorded conversations of other models; a \
            running daemon reports its own.
            """)

    @Argument(help: "The model.", completion: .file(extensions: ["moe"]))
    var model: String

    @Option(help: "Memory to use at most, such as 900M or 4G (default: what the system leaves).")
    var memory: MemorySize?

    @Option(help: "Tokens of prompt and answer together (default: what a quarter of the memory holds).")
    var context: Int?

    @Option(help: "Tokens of a prompt that are computed together (default: up to 512, as the memory allows).")
    var chunk: Int?

    @Option(name: .customLong("kv"), help: "Format of the KV cache, f32 or bf16 (default: f32 for an f32 model).")
    var cacheFormat: CacheFormat?

    @Option(help: "Exactly so many experts in memory, whatever the budget would hold.")
    var expertSlots: Int?

    @OptionGroup var planes: PlaneOptions

    @Flag(help: "Leave out the measurement of storage and memory.")
    var noProbe = false

    /// What memory is measured with: more than most caches hold, and no strain on a small machine.
    private static let bandwidthByteCount = 128 << 20

    func run() throws {
        do {
            let container = try ContainerReader(path: model)
            let options = MemoryPlan.Options(
                memory: memory?.byteCount, context: context, expertSlots: expertSlots, cacheFormat: cacheFormat,
                chunk: chunk, planes: planes.planes, popularity: try planes.popularity(of: container))
            let (plan, measured) =
                noProbe
                ? (try MemoryPlan(container: container, options: options), nil)
                : try MemoryPlan.measuringStorage(container: container, options: options)
            for line in plan.lines + plan.demandLines { print(line) }
            for warning in plan.warnings { print("warning: \(warning)") }
            guard !noProbe else { return }
            let kernels = try Kernels.selected()
            let limits = try LimitProbe(
                kernels: kernels, threadCount: ThreadCount.available, byteCount: Self.bandwidthByteCount
            ).measure()
            let probe = try measured ?? StorageProbe(container: container, planes: plan.planes ?? .coarse)
            for line in plan.forecastLines(probe, readBandwidth: limits.readBandwidth) { print(line) }
        } catch {
            var line = "moed plan: error: \(error)\n"
            line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
            throw ExitCode(ExitStatus.of(error))
        }
    }
}

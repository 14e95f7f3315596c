import ArgumentParser
import Checkpoint
import Compute
import Container
import Quantizer

struct SynthesizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "synthesize", abstract: "Make a .moe file of any shape with random weights.",
        discussion: """
            For measuring: the file has the size and the speed of the real model and says nothing sensible. Its numbers \
            stay finite through all layers, and the same seed gives the same bytes. It has no tokenizer, so it can be \
            traced and measured, but not served.
            """)

    @Option(help: ArgumentHelp("A published model's config.json.", valueName: "config.json"))
    var config: String?

    @Option(help: "A shape that comes with the program: v2-lite, moonlight, v3 or qwen3-30b-a3b.")
    var preset: Preset?

    @Option(help: "The weights' format: int4, int8, int8+int4 (routed experts in two planes), bf16 or f32.")
    var type: ConversionType = .int4

    @Flag(help: "With int4: every matrix and the embedding at 4 bits.")
    var pure = false

    @Option(help: "What the weights are drawn from, 0 to 2^53.")
    var seed = 0

    @Option(name: .shortAndLong, help: ArgumentHelp("The file to make.", valueName: "name.moe"))
    var output: String

    @Option(help: "Threads to use; by default all that the machine allows.")
    var threads: Int?

    @Flag(help: "Replace the output file if there is one.")
    var force = false

    func validate() throws {
        if (config == nil) == (preset == nil) { throw ValidationError("Give either --config or --preset.") }
        if type == .int4Linear || type == .int4NonLinear {
            throw ValidationError("Random weights have no better code table; use --type int4.")
        }
        if !(0...1 << 53).contains(seed) { throw ValidationError("--seed must be from 0 to 2^53.") }
        if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads must be from 1 to 1024.") }
        if output.isEmpty || output.hasSuffix("/") { throw ValidationError("--output must be a file's name.") }
    }

    func run() throws {
        do {
            try synthesize()
        } catch {
            throw Failure.report(error)
        }
    }

    private func synthesize() throws {
        let cancellation = Cancellation()
        let signals = StopSignals(cancellation)
        defer { signals.stop() }
        let writer = try ContainerWriter(path: output, replacing: force)
        let plan = FormatPlan(try readConfiguration(), type: type, isPure: pure)
        let byteCount = Synthesis.byteCount(of: plan)
        try checkSpace(for: byteCount)
        let progress = ConversionProgress(totalByteCount: byteCount, hashByteCount: 0, phase: .synthesizing)
        let synthesis = Synthesis(
            plan: plan, seed: seed, threadCount: threads ?? ThreadCount.available, progress: progress,
            cancellation: cancellation)
        let clock = ContinuousClock()
        let start = clock.now
        let display = ProgressDisplay(progress)
        do {
            defer { display.stop() }
            try synthesis.run(into: writer, tool: MoeQuantize.tool)
        }
        let seconds = (clock.now - start).seconds
        let rate = Amount.bytes(Int(Double(byteCount) / max(seconds, 0.001)))
        print("\(output): \(Amount.bytes(byteCount)) of random weights in \(Amount.fixed(seconds, 1)) s, \(rate)/s")
        print("  a token reads     \(Amount.bytes(plan.byteCountPerToken))")
    }

    private func readConfiguration() throws -> ModelConfiguration {
        if let preset { return try preset.configuration() }
        let file = try InputFile(path: config ?? "")
        return try Checkpoint.configuration(json: try file.allBytes(atMost: 16 << 20), path: file.path)
    }

    /// What is known to fail after an hour fails now.
    private func checkSpace(for byteCount: Int) throws {
        // Alignment and the index take far less than a hundredth.
        let needed = byteCount + byteCount / 100
        guard let available = DiskSpace.available(forFile: output), available < needed else { return }
        throw QuantizerError(
            code: .noSpace,
            message: "\(output) takes \(Amount.bytes(needed)), and its disk has \(Amount.bytes(available)) left",
            advice: "Choose another place, or a smaller shape or type")
    }
}

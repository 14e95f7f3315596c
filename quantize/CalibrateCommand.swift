import ArgumentParser
import Compute
import Container
import Evaluation
import Model
import Quantizer

struct CalibrateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "calibrate", abstract: "Record which inputs of a model's matrices matter, for better int4.",
        discussion: """
            Runs MODEL.moe, best a float or int8 one, over a text and writes the second moment of every input column of \
            every matrix and expert, with token counts, as a safetensors file. Use a text of the kind that the model \
            is for, and never the one that you evaluate on. An expert that few tokens reached counts mostly as its \
            layer's mean, so a model with many experts wants a long text.

            --hessians also records how the columns of each input go together, which convert --method gptq needs: 2 bytes \
            for the square of an input's columns. The text is read as often as memory for them demands.
            """)

    @Argument(help: "The model.", completion: .file(extensions: ["moe"]))
    var model: String

    @Option(help: "The text, UTF-8.", completion: .file())
    var text: String

    @Option(name: .shortAndLong, help: "The importance matrix to write; it is replaced.")
    var output: String

    @Option(help: "Tokens that are read together.")
    var context = 512

    @Flag(help: "Also record what convert --method gptq needs; the file becomes large.")
    var hessians = false

    @Option(
        help: ArgumentHelp(
            "With --hessians: memory for them; by default half of what the system leaves.", valueName: "size"))
    var memory: MemorySize?

    @Option(help: "Threads to use; by default all that the machine allows.")
    var threads: Int?

    func validate() throws {
        if memory != nil, !hessians { throw ValidationError("--memory is for --hessians.") }
        if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads must be from 1 to 1024.") }
        if context < 2 { throw ValidationError("--context must be at least 2.") }
        if output.isEmpty || output.hasSuffix("/") { throw ValidationError("--output must be a file's name.") }
    }

    func run() throws {
        do {
            try calibrate()
        } catch {
            throw Failure.report(error)
        }
    }

    private func calibrate() throws {
        let cancellation = Cancellation()
        let signals = StopSignals(cancellation)
        defer { signals.stop() }
        let container = try ContainerReader(path: model)
        if container.metadata.recipe.type.hasPrefix("int4") {
            Terminal.complain(
                "warning: \(model) is int4, whose inputs differ from the real ones; int8 is close to them")
        }
        let text = try EvaluationText(path: text, container: container, contextLength: context)
        let passes = try hessians ? plan(container.metadata.configuration) : nil
        let loaded = try ModelOpening.load(
            container, contextLength: context, cacheFormat: .f32, threads: threads, share: hessians ? 0.5 : 1)
        let progress = TextProgress(totalTokenCount: text.tokenCount * max(1, passes?.passes.count ?? 1))
        let display = ProgressDisplay(progress, "calibrating")
        let matrix: ImportanceMatrix
        do {
            defer { display.stop() }
            let cancelled = { cancellation.isRequested }
            if let passes {
                matrix = try Calibration.run(
                    loaded, text: text, passes: passes, to: output, threadCount: threads ?? ThreadCount.available,
                    progress: progress, cancelled: cancelled)
            } else {
                matrix = try Calibration.run(loaded, text: text, progress: progress, cancelled: cancelled)
                try matrix.write(to: output)
            }
        }
        print("\(output): \(text.tokenCount) tokens of \(ModelOpening.describe(text.identity))")
        let fingerprint = hexadecimal(try ImportanceMatrix(path: output).fingerprint)
        print("  matrices          \(matrix.moments.count) inputs, fingerprint \(fingerprint)")
        if let passes {
            print(
                "  second order      \(passes.inputs.count) inputs, recorded in \(passes.passes.count) readings of the text"
            )
        }
        report(matrix, container.metadata.configuration)
    }

    /// How often the text is read; refuses what memory or the disk can't hold before hours are spent.
    private func plan(_ model: ModelConfiguration) throws -> HessianPasses {
        let budget = memory?.byteCount ?? AvailableMemory.current().map { $0.budget / 2 } ?? 1 << 30
        let passes = try HessianPasses(model, limit: budget)
        let size = HessianWriter.fileByteCount(model, passes.inputs)
        if let free = DiskSpace.available(forFile: output), free < size {
            throw QuantizerError(
                code: .noSpace,
                message: "\(output) will have \(Amount.bytes(size)), and the disk has \(Amount.bytes(free)) free",
                advice: "Make room, choose another disk, or calibrate without --hessians")
        }
        Terminal.complain(
            "second-order matrices: \(Amount.bytes(size)) on disk, \(Amount.bytes(passes.greatestByteCount)) of memory, "
                + "\(passes.passes.count) readings of the text")
        return passes
    }

    private func report(_ matrix: ImportanceMatrix, _ model: ModelConfiguration) {
        guard let experts = model.experts else { return }
        let keys = model.sparseLayers.indices.filter { model.sparseLayers[$0] }.flatMap { layer in
            (0..<experts.routedExpertCount).map { ExpertKey(layer: layer, expert: $0) }
        }
        let counts = keys.map { matrix.count(for: $0) }.sorted()
        let few = counts.count { $0 < Int(ImportanceMatrix.shrinkage) }
        print(
            "  tokens an expert  \(counts.first ?? 0) to \(counts.last ?? 0), median \(counts[counts.count / 2]); "
                + "\(few) of \(counts.count) experts saw fewer than \(Int(ImportanceMatrix.shrinkage))")
        let silent = matrix.silentExperts
        guard !silent.isEmpty else { return }
        Terminal.complain("warning: \(silent.count) experts never fired and get their layer's mean:")
        for key in silent { Terminal.complain("  \(key)") }
    }
}

extension MemorySize: ExpressibleByArgument {
    init?(argument: String) { self.init(argument) }
}

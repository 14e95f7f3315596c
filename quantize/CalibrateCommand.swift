import ArgumentParser
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
            """)

    @Argument(help: "The model.", completion: .file(extensions: ["moe"]))
    var model: String

    @Option(help: "The text, UTF-8.", completion: .file())
    var text: String

    @Option(name: .shortAndLong, help: "The importance matrix to write; it is replaced.")
    var output: String

    @Option(help: "Tokens that are read together.")
    var context = 512

    @Option(help: "Threads to use; by default all that the machine allows.")
    var threads: Int?

    func validate() throws {
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
        if container.metadata.recipe.type == "int4" {
            Terminal.complain(
                "warning: \(model) is int4, whose inputs differ from the real ones; int8 is close to them")
        }
        let text = try EvaluationText(path: text, container: container, contextLength: context)
        let loaded = try ModelOpening.load(container, contextLength: context, cacheFormat: .f32, threads: threads)
        let progress = TextProgress(totalTokenCount: text.tokenCount)
        let display = ProgressDisplay(progress, "calibrating")
        let matrix: ImportanceMatrix
        do {
            defer { display.stop() }
            matrix = try Calibration.run(
                loaded, text: text, progress: progress, cancelled: { cancellation.isRequested })
        }
        try matrix.write(to: output)
        print("\(output): \(text.tokenCount) tokens of \(ModelOpening.describe(text.identity))")
        print("  matrices          \(matrix.moments.count) inputs, fingerprint \(hexadecimal(matrix.fingerprint))")
        report(matrix, container.metadata.configuration)
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
